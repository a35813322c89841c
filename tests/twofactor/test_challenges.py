"""The second step of a login: a challenge, bound to a person, good for one login only."""

import asyncio
import base64
import hashlib
import re
from datetime import UTC, datetime

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import claims_of, code_of
from tools.testbed.waiting import eventually

from service.redis.keys import bucket
from tests.support.run_queue import Stopwatch
from tests.support.two_factor import Holder, brief_enrolled, let_steps_pass, new_holder
from tests.twofactor.test_totp import ODD

INVALID = (401, "invalid_code")
GONE = (401, "challenge_not_found")


def key_of(challenge_id: str) -> bytes:
    secret = base64.urlsafe_b64decode(challenge_id)
    return bucket(secret).challenge + hashlib.sha256(secret).digest()


async def test_202_literally(bob: Holder, keys: RedisServer) -> None:
    """No token of any kind before the second factor; `expiresAt` is the key's own deadline."""
    since = Stopwatch()
    answer = await bob.password()
    assert answer.status_code == 202
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert set(body) == {"challengeId", "methods", "expiresAt"}
    assert body["methods"] == ["totp", "recovery_code"]
    assert "osr_" not in answer.text
    assert not re.search(r"eyJ[\w-]+\.", answer.text)
    told = datetime.fromisoformat(body["expiresAt"])
    with keys.client() as client:
        deadline = client.pexpiretime(key_of(body["challengeId"]))
    assert told.timestamp() * 1000 == deadline
    assert 299 - since.all < (told - datetime.now(UTC)).total_seconds() <= 301
    assert len((await bob.sessions()).json()["sessions"]) == 1


async def test_a_wrong_password_tells_nothing(bob: Holder) -> None:
    """The same answer as for an account without 2FA."""
    body = {"email": bob.email, "password": "not the password"}
    wrong = await bob.client.post("/auth/login", json=body)
    unknown = await bob.client.post("/auth/login", json=body | {"email": "x@example.com"})
    assert (wrong.status_code, wrong.json()) == (unknown.status_code, unknown.json())
    assert code_of(wrong) == (401, "invalid_credentials")


@pytest.mark.parametrize("how", ["totp", "recovery"])
async def test_what_the_tokens_say(bob: Holder, how: str) -> None:
    """`amr` names the factors, after a refresh as well; the rest is as after any login."""
    code = bob.phone.code(1) if how == "totp" else bob.recovery_codes[0]
    answer = await bob.answer(await bob.challenge(), code)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    tokens = answer.json()
    assert set(tokens) == {
        "accessToken", "refreshToken", "tokenType", "expiresIn", "sessionId", "user",
    }  # fmt: skip
    expected = ["pwd", "otp", "mfa"] if how == "totp" else ["pwd", "mfa"]
    assert claims_of(tokens["accessToken"])["amr"] == expected
    refreshed = await bob.holding(tokens).refresh()
    assert claims_of(refreshed.json()["accessToken"])["amr"] == expected
    assert claims_of(bob.tokens["accessToken"])["amr"] == ["pwd"]


async def test_a_challenge_works_once(bob: Holder, elsewhere: httpx.AsyncClient) -> None:
    """Twenty racers with twenty right recovery codes and one challenge: one session."""
    challenge = await bob.challenge()
    answers = await asyncio.gather(
        *(bob.answer(challenge, code, c) for code in bob.recovery_codes[:8]
          for c in (bob.client, elsewhere))
    )  # fmt: skip
    codes = [code_of(answer) for answer in answers]
    assert codes.count((200, "")) == 1
    assert set(codes) <= {(200, ""), GONE, (429, "rate_limited")}
    assert await bob.two_fa() == (True, 9), "the losers keep their codes"
    assert code_of(await bob.answer(challenge, bob.phone.code(1))) == GONE


async def test_one_answer_for_what_is_no_open_challenge(bob: Holder) -> None:
    """Unknown, used, misspelt, and other secrets of the same person's."""
    used = await bob.challenge()
    assert (await bob.answer(used, bob.recovery_codes[0])).status_code == 200
    open_ = await bob.challenge()
    code = bob.phone.code(1)
    last = "AEIMQUYcgkosw048"[("AEIMQUYcgkosw048".index(open_[-1]) + 1) % 16] if (
        open_[-1] in "AEIMQUYcgkosw048") else "A"  # fmt: skip
    others = [
        used, "", "x", "A" * 44, open_[:-1] + last, open_ + "=", open_ + "A", f" {open_}",
        open_[:-4], open_.swapcase(), "é" * 44, "A" * 60_000, bob.tokens["refreshToken"],
        bob.tokens["accessToken"], bob.temp_secret_id, bob.session_id, "/" * 44, "-_" * 22,
    ]  # fmt: skip
    answers = [await bob.answer(each, code) for each in others]
    assert {code_of(answer) for answer in answers} == {GONE}
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].headers["www-authenticate"] == 'Bearer realm="openshow"'
    assert (await bob.answer(open_, code)).status_code == 200, "none of this has hurt it"


async def test_a_challenge_is_nothing_else(bob: Holder) -> None:
    """Not a refresh token, not an access token, not an enrolment."""
    challenge = await bob.challenge()
    http = bob.client
    refreshed = await http.post("/auth/refresh", json={"refreshToken": challenge})
    assert code_of(refreshed) == (401, "invalid_refresh_token")
    bearer = {"Authorization": f"Bearer {challenge}"}
    assert code_of(await http.get("/auth/me", headers=bearer)) == (401, "unauthorized")
    assert code_of(await bob.log_out(challenge)) == (400, "session_not_found")
    eve = await new_holder(http)
    await eve.begin()
    assert code_of(await eve.verify(None, challenge)) == (400, "enrollment_not_found")
    assert (await bob.answer(challenge, bob.phone.code(1))).status_code == 200


async def test_a_challenge_is_its_persons(bob: Holder) -> None:
    """Another's phone does not answer it, and answering it opens the owner's session."""
    eve = await (await new_holder(bob.client)).enrol()
    challenge = await bob.challenge()
    assert code_of(await eve.answer(challenge, eve.phone.code(1))) == INVALID
    assert code_of(await eve.answer(challenge, eve.recovery_codes[0])) == INVALID
    answer = await eve.answer(challenge, bob.phone.code(1))
    assert answer.json()["user"]["email"] == bob.email


async def test_five_wrong_answers(bob: Holder) -> None:
    """Five say `invalid_code`, odd forms too; then it is gone. A new one works."""
    challenge = await bob.challenge()
    right = bob.phone.code(1)
    for wrong in (bob.phone.wrong(), f" {right}", f"{right[:3]} {right[3:]}", "", "ABCD-EFGH"):
        assert code_of(await bob.answer(challenge, wrong)) == INVALID
    assert code_of(await bob.answer(challenge, right)) == GONE
    assert (await bob.answer(await bob.challenge(), right)).status_code == 200


async def test_racing_wrong_answers(bob: Holder, elsewhere: httpx.AsyncClient) -> None:
    """Fifty at once at two processes: five are judged."""
    challenge, wrong = await bob.challenge(), bob.phone.wrong()
    answers = await asyncio.gather(
        *(bob.answer(challenge, wrong, client) for client in [bob.client, elsewhere] * 25)
    )
    codes = [code_of(answer) for answer in answers]
    assert codes.count(INVALID) == 5
    assert set(codes) <= {INVALID, GONE, (429, "rate_limited")}
    assert code_of(await bob.answer(challenge, bob.phone.code(1))) == GONE


async def test_odd_codes_never_break_it(bob: Holder, keys: RedisServer) -> None:
    """Any string is a wrong code, nothing else is one; a wrong type counts for nothing."""
    challenge = await bob.challenge()
    for value in (123456, None, ["123456"], {}, True):
        for body in ({"challengeId": challenge, "code": value}, {"challengeId": value, "code": ""}):
            answer = await bob.client.post("/auth/login/2fa", json=body)
            assert code_of(answer) == (400, "bad_request")
    assert counted(keys) == 0
    for form in [form for form in ODD if form.isprintable()][:4]:
        answer = await bob.answer(challenge, form.replace("{}", bob.phone.code(1))[:60_000])
        assert code_of(answer) == INVALID
    assert counted(keys) == 4
    assert (await bob.answer(challenge, bob.phone.code(1))).status_code == 200
    assert counted(keys) == 4


def counted(server: RedisServer) -> int:
    with server.client() as client:
        return sum(client.llen(key) for key in client.scan_iter(match="attempts:{??}:codes:*"))


@pytest.mark.one_server("expiry is each server's own")
async def test_a_challenge_expires(brief: Holder, keys: RedisServer) -> None:
    """Once Redis has let go of it, the right code finds nothing."""
    await eventually(lambda: brief_enrolled(brief))
    challenge = await brief.challenge()

    async def expired() -> bool:
        with keys.client() as client:
            return not client.exists(key_of(challenge))

    await eventually(expired)
    assert code_of(await brief.answer(challenge, brief.phone.code(1))) == GONE

    async def answered() -> bool:
        answer = await brief.answer(await brief.challenge(), brief.phone.code(1))
        return answer.status_code == 200

    await eventually(answered)


async def test_disabling_ends_open_challenges(
    bob: Holder, elsewhere: httpx.AsyncClient, keys: RedisServer
) -> None:
    """With 2FA off they are gone; with another enrolment on they stay gone."""
    challenges = [await bob.challenge() for _ in range(2)]
    old = bob.phone
    assert (await bob.disable(bob.phone.code(1))).status_code == 204
    assert (await bob.password(elsewhere)).status_code == 200
    assert code_of(await bob.answer(challenges[0], bob.recovery_codes[0], elsewhere)) == GONE
    let_steps_pass(keys)
    await bob.enrol()
    for code in (bob.phone.code(1), old.code(1), bob.recovery_codes[0]):
        assert code_of(await bob.answer(challenges[1], code, elsewhere)) == GONE
    assert await bob.two_fa() == (True, 10)


async def test_twenty_racing_disables(bob: Holder, elsewhere: httpx.AsyncClient) -> None:
    """With a right code each: one turns it off, the others find that it is off."""
    answers = await asyncio.gather(
        *(bob.disable(code, c) for code in bob.recovery_codes for c in (bob.client, elsewhere))
    )
    codes = [code_of(answer) for answer in answers]
    assert codes.count((204, "")) == 1
    assert set(codes) <= {
        (204, ""), (400, "not_enabled"), (400, "invalid_code"), (429, "rate_limited"),
    }  # fmt: skip
    assert [await bob.two_fa(c) for c in (bob.client, elsewhere)] == [(False, 0)] * 2
