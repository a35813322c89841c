"""Turning 2FA on: enable, scan, verify. Until the last, nothing has changed."""

import asyncio
import re
from datetime import UTC, datetime

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import code_of
from tools.testbed.waiting import eventually

from service.redis.keys import bucket
from tests.support.looking import events
from tests.support.run_queue import Stopwatch
from tests.support.two_factor import Holder, Phone, brief_enrolled, new_holder
from tests.twofactor.test_totp import ODD

GONE = (400, "enrollment_not_found")
ON = (400, "already_enabled")
WRONG = (400, "invalid_code")


async def test_enable_literally(ann: Holder) -> None:
    """200 with exactly these fields, the literal message, and a secret never seen before."""
    answer = await ann.enable()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert set(body) == {"tempSecretId", "otpauthUrl", "expiresAt", "message"}
    assert body["message"] == ("Scan the QR code with your authenticator app. Verify in next step.")
    email = ann.email.replace("@", "%40")
    assert re.fullmatch(
        rf"otpauth://totp/OpenShow:{email}\?secret=[A-Z2-7]{{32}}&issuer=OpenShow"
        r"&algorithm=SHA1&digits=6&period=30",
        body["otpauthUrl"],
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["expiresAt"])
    again = (await ann.enable()).json()
    assert again["otpauthUrl"] != body["otpauthUrl"]
    assert again["tempSecretId"] != body["tempSecretId"]


async def test_already_enabled_literally(bob: Holder) -> None:
    """400 with exactly this code and message; the enabled secret goes on working."""
    answer = await bob.enable()
    assert answer.status_code == 400
    assert answer.json() == {
        "error": {
            "code": "already_enabled",
            "message": "2FA is already enabled on this account.",
        }
    }
    assert (await bob.answer(await bob.challenge(), bob.phone.code(1))).status_code == 200


async def test_without_a_session(http: httpx.AsyncClient) -> None:
    """Every call but the second step of a login needs an access token."""
    for call in ("enable", "verify", "disable", "recovery-codes"):
        answer = await http.post(f"/auth/2fa/{call}", json={"code": "1", "tempSecretId": "x"})
        assert code_of(answer) == (401, "unauthorized")


async def test_the_deadline_is_that_of_the_key(ann: Holder, keys: RedisServer) -> None:
    """`expiresAt` is the pending key's own expiry, which wrong tries do not move."""
    since = Stopwatch()
    begun = await ann.begin()

    def deadline() -> int:
        with keys.client() as client:
            return int(client.pexpiretime(bucket(ann.user_id).pending + ann.user_id))

    told = datetime.fromisoformat(begun["expiresAt"])
    assert told.timestamp() * 1000 == deadline()
    assert 599 - since.all < (told - datetime.now(UTC)).total_seconds() <= 601
    assert code_of(await ann.verify("000000x")) == WRONG
    assert told.timestamp() * 1000 == deadline()


async def test_nothing_changes_before_verify(ann: Holder) -> None:
    """Logging in needs no code, whether nothing or only wrong codes came after enable."""
    await ann.begin()
    assert await ann.two_fa() == (False, 0)
    assert (await ann.password()).status_code == 200
    assert code_of(await ann.verify(ann.phone.wrong())) == WRONG
    assert await ann.two_fa() == (False, 0)
    assert (await ann.password()).status_code == 200
    assert code_of(await ann.disable("000000")) == (400, "not_enabled")
    assert code_of(await ann.renew("000000")) == (400, "not_enabled")


async def test_verify_turns_it_on(ann: Holder, elsewhere: httpx.AsyncClient) -> None:
    """Ten recovery codes; the flag is on at both processes; no session has ended."""
    other = await ann.log_in()
    await ann.begin()
    answer = await ann.verify()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json().keys() == {"enabled", "recoveryCodes"}
    assert answer.json()["enabled"] is True
    assert len(answer.json()["recoveryCodes"]) == 10
    for client in (ann.client, elsewhere):
        assert await ann.two_fa(client) == (True, 10)
        assert (await ann.password(client)).status_code == 202
    assert (await other.me()).status_code == 200
    assert (await other.refresh()).status_code == 200
    assert len((await ann.sessions()).json()["sessions"]) == 2
    assert code_of(await ann.verify()) == ON
    assert code_of(await ann.verify("junk", "junk")) == ON, "wins over all else"


async def test_fifty_racing_enables(ann: Holder, elsewhere: httpx.AsyncClient) -> None:
    """At two processes: each has a secret of its own, exactly one of them can be verified."""
    answers = await asyncio.gather(
        *(
            client.post("/auth/2fa/enable", headers=ann.bearer)
            for client in [ann.client, elsewhere] * 25
        )
    )
    begun = [answer.json() for answer in answers]
    assert len({body["tempSecretId"] for body in begun}) == 50
    verified = await asyncio.gather(
        *(ann.verify(Phone(b["otpauthUrl"]).code(), b["tempSecretId"]) for b in begun)
    )
    codes = [code_of(answer) for answer in verified]
    assert codes.count((200, "")) == 1
    # On a slow disk SQLite may be busy for longer than a call waits: who is told so has lost, too.
    assert set(codes) <= {(200, ""), GONE, ON, (503, "service_unavailable")}
    ann.phone = Phone(begun[codes.index((200, ""))]["otpauthUrl"])
    assert (await ann.answer(await ann.challenge(), ann.phone.code(1))).status_code == 200


async def test_one_answer_for_what_is_not_pending(ann: Holder, bob: Holder) -> None:
    """Unknown, replaced, misspelt and another user's: the same answer, none of them counts."""
    eve = await new_holder(ann.client)
    await eve.begin()
    await ann.begin()
    replaced, code = ann.temp_secret_id, ann.phone.code()
    await ann.begin()
    ids = [
        replaced, eve.temp_secret_id, "0" * 32, ann.temp_secret_id.upper(),
        ann.temp_secret_id + "0", ann.temp_secret_id[:-1], f" {ann.temp_secret_id}", "",
        "x" * 60_000, "é" * 32, "０" * 32, bob.session_id, bob.tokens["refreshToken"],
    ]  # fmt: skip
    answers = [await ann.verify(code, each) for each in ids]
    answers.append(await ann.verify(eve.phone.code(), eve.temp_secret_id))
    assert {code_of(answer) for answer in answers} == {GONE}
    assert len({answer.text for answer in answers}) == 1
    assert (await eve.verify()).status_code == 200, "another's is untouched"
    assert (await ann.verify()).status_code == 200


@pytest.mark.one_server("expiry is each server's own")
async def test_an_enrolment_expires(brief: Holder, keys: RedisServer) -> None:
    """Once Redis has let go of it, the right code finds nothing; a new one works."""
    body = await brief.begin()
    assert (
        "otpauth://totp/Open%20Show%20%26%20S%C3%B6hne:%22a%2Bb%20%26%25%3A%C3%BC%22%40"
        in (body["otpauthUrl"])
    )
    assert brief.phone.totp.name == brief.email

    async def expired() -> bool:
        with keys.client() as client:
            return not client.exists(bucket(brief.user_id).pending + brief.user_id)

    await eventually(expired)
    assert code_of(await brief.verify()) == GONE
    assert await brief.two_fa() == (False, 0)
    await eventually(lambda: brief_enrolled(brief))
    assert await brief.two_fa() == (True, 10)


async def test_five_wrong_codes(ann: Holder) -> None:
    """The first to the fifth say so; then it is gone, for the right code too."""
    await ann.begin()
    for _ in range(5):
        assert code_of(await ann.verify(ann.phone.wrong())) == WRONG
    assert code_of(await ann.verify()) == GONE
    assert await ann.two_fa() == (False, 0)
    await ann.enrol()


async def test_fifty_racing_wrong_codes(ann: Holder, elsewhere: httpx.AsyncClient) -> None:
    """At two processes: exactly five are judged, and it is gone."""
    await ann.begin()
    wrong = ann.phone.wrong()
    answers = await asyncio.gather(
        *(ann.verify(wrong, client=client) for client in [ann.client, elsewhere] * 25)
    )
    codes = [code_of(answer) for answer in answers]
    assert codes.count(WRONG) == 5
    assert set(codes) <= {WRONG, GONE, (429, "rate_limited")}
    assert code_of(await ann.verify()) == GONE


def counted(server: RedisServer) -> int:
    """Tries that count against the limit on codes."""
    with server.client() as client:
        return sum(client.llen(key) for key in client.scan_iter(match="attempts:{??}:codes:*"))


async def test_odd_forms_count_and_other_types_do_not(
    http: httpx.AsyncClient, keys: RedisServer
) -> None:
    """A string that is no code is a wrong one; a number, even the right one, is a bad request."""
    for begin in range(0, len(ODD), 5):
        ann = await new_holder(http)
        await ann.begin()
        before, right = counted(keys), ann.phone.code()
        odd = [form.replace("{}", right)[:60_000] for form in ODD[begin : begin + 5]]
        odd = [form for form in odd if form.isascii() or form.isprintable()]
        for form in odd:
            assert code_of(await ann.verify(form)) == WRONG, ascii(form)[:40]
        assert counted(keys) - before == len(odd)
    ann = await new_holder(http)
    await ann.begin()
    before = counted(keys)
    for value in (int(ann.phone.code()), None, [ann.phone.code()], {"code": 1}, True, 1.5):
        body = {"tempSecretId": ann.temp_secret_id, "code": value}
        answer = await http.post("/auth/2fa/verify", json=body, headers=ann.bearer)
        assert code_of(answer) == (400, "bad_request")
        assert answer.json()["error"]["details"][0]["field"] == "code"
    assert counted(keys) == before
    right = ann.phone.code()
    for form in (f" {right}", f"{right[:3]} {right[3:]}"):
        assert code_of(await ann.verify(form)) == WRONG
    assert (await ann.verify(right)).status_code == 200


@pytest.mark.parametrize("round_", range(2))
async def test_twenty_racing_verifies(
    ann: Holder, elsewhere: httpx.AsyncClient, keys: RedisServer, round_: int
) -> None:
    """The right code twenty times at two processes: one set of recovery codes, one event; whoever
    comes too late hears `already_enabled`."""
    await ann.begin()
    code = ann.phone.code()
    answers = await asyncio.gather(
        *(ann.verify(code, client=client) for client in [ann.client, elsewhere] * 10)
    )
    assert {code_of(answer) for answer in answers} <= {(200, ""), ON, (429, "rate_limited")}
    shown = {tuple(a.json()["recoveryCodes"]) for a in answers if a.status_code == 200}
    assert len(shown) == 1
    assert [await ann.two_fa(client) for client in (ann.client, elsewhere)] == [(True, 10)] * 2
    types = [row["type"] for row in events(keys, ann.user_id)]
    assert types.count("twoFA.enabled") == 1
    assert counted(keys) == 0
    answer = await ann.answer(await ann.challenge(), shown.pop()[0])
    assert answer.status_code == 200


async def test_a_page_left_open_is_replaced(ann: Holder, elsewhere: httpx.AsyncClient) -> None:
    """An enable while a verify is under way ends in one of two orders, and the flag tells which."""
    for _ in range(6):
        eve = await new_holder(ann.client)
        await eve.begin()
        body = {"tempSecretId": eve.temp_secret_id, "code": eve.phone.code()}
        verified, begun = await asyncio.gather(
            ann.client.post("/auth/2fa/verify", json=body, headers=eve.bearer),
            elsewhere.post("/auth/2fa/enable", headers=eve.bearer),
        )
        on = code_of(verified) == (200, "")
        assert code_of(verified) in ((200, ""), GONE)
        assert code_of(begun) in ((200, ""), ON)
        assert (await eve.two_fa())[0] == on
        assert (await eve.password()).status_code == (202 if on else 200)
        if on and begun.status_code == 200:
            newer = begun.json()
            late = Phone(newer["otpauthUrl"]).code()
            assert code_of(await eve.verify(late, newer["tempSecretId"])) == ON
