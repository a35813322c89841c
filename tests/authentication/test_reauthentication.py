"""Proving anew who one is: the same session, a new `auth_time`, all that it has proved in `amr`."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest
from tools.testbed.parts import CLIENT
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD, Person, claims_of, code_of

from service.errors import TooManyAttempts
from service.rate_limits import Limit
from service.redis.keys import bucket
from tests.authentication.test_password_change_races import Client, client_of
from tests.support.looking import ON_VALKEY, events
from tests.support.proofs import let_time_pass
from tests.support.two_factor import Holder, let_steps_pass
from tests.twofactor.pods import Pod, Pods

pytestmark = ON_VALKEY

WRONG_TOKEN = (401, "invalid_refresh_token")


async def reauthenticate(person: Person, **body: Any) -> httpx.Response:
    body = {"refreshToken": person.tokens["refreshToken"]} | body
    return await person.client.post("/auth/reauthenticate", json=body, headers=person.bearer)


async def renewed(person: Person, **body: Any) -> Holder:
    """The person with the tokens that they get."""
    answer = await reauthenticate(person, **body)
    assert answer.status_code == 200, answer.text
    return Holder(person.client, person.email, answer.json())


async def counted(server: RedisServer, what: str) -> int:
    with server.client() as client:
        return sum(client.llen(key) for key in client.scan_iter(f"attempts:*:{what}*"))


async def test_by_password(ann: Holder, keys: RedisServer) -> None:
    """One session as before, proved a moment ago; its refresh token is spent for the new one."""
    let_time_pass(keys, ann, 5000)
    before = claims_of(ann.tokens["accessToken"])
    answer = await reauthenticate(ann, password=PASSWORD)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert set(answer.json()) == {
        "accessToken", "refreshToken", "tokenType", "expiresIn", "sessionId",
    }  # fmt: skip
    after = ann.holding(answer.json())
    claims = claims_of(after.tokens["accessToken"])
    assert after.session_id == ann.session_id == claims["sid"]
    assert before["auth_time"] <= claims["auth_time"] <= before["auth_time"] + 60
    assert claims["amr"] == ["pwd"]
    assert len((await after.sessions()).json()["sessions"]) == 1
    assert (await after.me()).status_code == 200
    assert (await ann.me()).status_code == 200, "the session has not ended"
    again = await after.refresh()
    assert claims_of(again.json()["accessToken"])["auth_time"] == claims["auth_time"]
    types = [row["type"] for row in events(keys, ann.user_id)]
    assert types == [
        "user.signedUp", "session.reauthenticated", "session.rotated", "session.rotated",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["totp", "recovery"])
async def test_by_code(bob: Holder, keys: RedisServer, kind: str) -> None:
    """`amr` has gained the factor; the code is used up for every other door."""
    let_time_pass(keys, bob, 5000)
    code = bob.phone.code(1) if kind == "totp" else bob.recovery_codes[0]
    before = claims_of(bob.tokens["accessToken"])
    assert before["amr"] == ["pwd"], "as it was before 2FA"
    after = await renewed(bob, code=code)
    claims = claims_of(after.tokens["accessToken"])
    assert claims["amr"] == (["pwd", "otp", "mfa"] if kind == "totp" else ["pwd", "mfa"])
    assert claims["auth_time"] >= before["auth_time"]
    assert await bob.two_fa() == (True, 10 - (kind == "recovery"))
    for answer in (
        await reauthenticate(after, code=code),
        await bob.disable(code),
        await bob.answer(await bob.challenge(), code),
    ):
        assert code_of(answer)[1] == "invalid_code"
    assert claims_of((await after.refresh()).json()["accessToken"])["amr"] == claims["amr"]


async def test_what_was_proved_adds_up(bob: Holder, keys: RedisServer) -> None:
    """A recovery code after a TOTP code takes nothing from `amr`; without 2FA nothing is left."""
    first = await renewed(bob, code=bob.phone.code(1))
    second = await renewed(first, code=bob.recovery_codes[0])
    assert claims_of(second.tokens["accessToken"])["amr"] == ["pwd", "otp", "mfa"]
    let_steps_pass(keys)
    assert (await bob.disable(bob.phone.code(1))).status_code == 204
    third = await renewed(second, password=PASSWORD)
    assert claims_of(third.tokens["accessToken"])["amr"] == ["pwd"]


async def test_the_other_kind_is_named(ann: Holder, bob: Holder, keys: RedisServer) -> None:
    """Neither right nor wrong, so it counts for nothing."""
    for person, body in ((ann, {"code": "123456"}), (bob, {"password": PASSWORD})):
        answer = await reauthenticate(person, **body)
        assert code_of(answer) == (400, "factor_required")
        assert next(iter({"code", "password"} - set(body))) in answer.json()["error"]["message"]
        assert (await person.refresh()).status_code == 200, "the token is not spent"
    assert await counted(keys, "") == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "password"),
        ({"password": PASSWORD, "code": "123456"}, "code"),
        ({"password": 1}, "password"),
        ({"password": None}, "password"),
        ({"password": PASSWORD, "code": None}, "code"),
        ({"code": 123456}, "code"),
        ({"code": ["123456"]}, "code"),
        ({"password": PASSWORD, "refreshToken": None}, "refreshToken"),
        ({"password": PASSWORD, "refreshToken": 7}, "refreshToken"),
    ],
)
async def test_odd_bodies(ann: Holder, keys: RedisServer, body: Any, field: str) -> None:
    """400 that names the field; nothing is looked at, nothing counts."""
    answer = await reauthenticate(ann, **body)
    assert code_of(answer) == (400, "bad_request")
    assert [each["field"] for each in answer.json()["error"]["details"]] == [field]
    assert await counted(keys, "") == 0
    missing = await ann.client.post(
        "/auth/reauthenticate", json={"password": PASSWORD}, headers=ann.bearer
    )
    assert missing.json()["error"]["details"][0]["field"] == "refreshToken"


async def test_wrong_passwords_count_as_at_login(ann: Holder, keys: RedisServer) -> None:
    """Ten from one network, here and at login together; then the right one is not looked at."""
    for _ in range(5):
        assert code_of(await reauthenticate(ann, password="wrong")) == (400, "invalid_password")
        wrong = {"email": ann.email, "password": "wrong"}
        await ann.client.post("/auth/login", json=wrong)
        assert (await ann.refresh()).status_code == 200, "a right one is not asked for here"
    assert code_of(await reauthenticate(ann, password=PASSWORD)) == (429, "rate_limited")
    assert code_of(await ann.password()) == (429, "rate_limited")
    assert (await ann.me()).status_code == 200


async def test_right_passwords_do_not_count(ann: Holder, keys: RedisServer) -> None:
    """Whoever is right may go on."""
    person: Person = ann
    for _ in range(12):
        person = await renewed(person, password=PASSWORD)
    assert await counted(keys, "account") == 0


async def test_wrong_codes_count_as_elsewhere(bob: Holder, keys: RedisServer) -> None:
    """Ten of each kind; then right ones are refused, here and where the factor is changed."""
    for wrong in [bob.phone.wrong()] * 10:
        assert code_of(await reauthenticate(bob, code=wrong)) == (400, "invalid_code")
    right = bob.phone.code(1)
    for answer in (await reauthenticate(bob, code=right), await bob.renew(right)):
        assert code_of(answer) == (429, "rate_limited")
    proved = await renewed(bob, code=bob.recovery_codes[0])
    for wrong in ["", "abc", f"{right} "] * 3 + ["1234567"]:
        assert code_of(await reauthenticate(proved, code=wrong)) == (400, "invalid_code")
    answer = await reauthenticate(proved, code=bob.recovery_codes[1])
    assert code_of(answer) == (429, "rate_limited")
    assert await bob.two_fa() == (True, 9)


async def test_calls_are_limited(pods: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all pods and sessions of a user, before the password is looked at."""
    ann = await client_of(pods)
    other = await client_of(pods)
    for pod in pods:
        limits = pod.services.reauthentication._rate_limits
        few = Limit("calls", 3, timedelta(minutes=1))
        monkeypatch.setattr(limits, "limits", msgspec.structs.replace(limits.limits, calls=few))

    async def by_password(client: Client, pod: Pod, password: str = PASSWORD) -> None:
        client.tokens = await pod.services.reauthentication.by_password(
            client.caller, client.tokens.refresh_token, password, CLIENT
        )

    for number in range(3):
        await by_password(ann, pods.all[number % 2])
    for pod in pods:
        for password in (PASSWORD, "wrong"):
            with pytest.raises(TooManyAttempts):
                await by_password(ann, pod, password)
    await by_password(other, pods.all[0])
    assert await ann.refresh(pods.all[0])


async def test_the_token_must_be_the_sessions(ann: Holder, bob: Holder, keys: RedisServer) -> None:
    """Another session's, another person's, none of ours: one answer, and no password is tried."""
    other = await ann.log_in()
    for token in (
        other.tokens["refreshToken"], bob.tokens["refreshToken"], "", "osr_", "x",
        ann.tokens["accessToken"], ann.tokens["refreshToken"] + "A",
    ):  # fmt: skip
        for password in (PASSWORD, "wrong"):
            answer = await reauthenticate(ann, refreshToken=token, password=password)
            assert code_of(answer) == WRONG_TOKEN
            assert answer.headers["www-authenticate"] == 'Bearer realm="openshow"'
    assert await counted(keys, "account") == 0
    for person in (ann, other, bob):
        assert (await person.refresh()).status_code == 200, "nothing has ended, nothing is spent"


async def test_a_token_spent_a_moment_ago(ann: Holder, keys: RedisServer) -> None:
    """As at refresh: the one successor, with the new proof."""
    let_time_pass(keys, ann, 5000)
    refreshed = ann.holding((await ann.refresh()).json())
    old = claims_of(refreshed.tokens["accessToken"])["auth_time"]
    after = await renewed(ann, password=PASSWORD)
    assert after.tokens["refreshToken"] == refreshed.tokens["refreshToken"]
    assert claims_of(after.tokens["accessToken"])["auth_time"] > old + 4000
    again = claims_of((await after.refresh()).json()["accessToken"])
    assert again["auth_time"] > old + 4000, "the proof stands in the record"


async def test_a_token_spent_before(ann: Holder) -> None:
    """As at refresh: theft, and the session has ended."""
    successor = ann.holding((await ann.refresh()).json())
    await successor.refresh()
    assert code_of(await reauthenticate(ann, password=PASSWORD)) == (401, "refresh_token_reused")
    assert (await ann.me()).status_code == 401


async def test_a_session_that_has_ended(ann: Holder) -> None:
    """401, whatever else is right."""
    await ann.log_out()
    assert code_of(await reauthenticate(ann, password=PASSWORD)) == (401, "unauthorized")


async def test_twenty_racers_for_one_code(bob: Holder) -> None:
    """Of those who send one TOTP code with one refresh token, one has proved something."""
    code = bob.phone.code(1)
    answers = await asyncio.gather(*(reauthenticate(bob, code=code) for _ in range(20)))
    codes = [code_of(answer) for answer in answers]
    assert codes.count((200, "")) == 1
    assert set(codes) <= {(200, ""), (400, "invalid_code"), (429, "rate_limited")}


async def test_twenty_racers_for_one_recovery_code(bob: Holder) -> None:
    """One is burnt, for one of them; the rest is as it was."""
    code = bob.recovery_codes[3]
    answers = await asyncio.gather(*(reauthenticate(bob, code=code) for _ in range(20)))
    codes = [code_of(answer) for answer in answers]
    assert codes.count((200, "")) == 1
    assert await bob.two_fa() == (True, 9)


async def test_a_code_whose_step_cannot_be_read(bob: Holder, keys: RedisServer) -> None:
    """503, no proof, and the try does not count."""
    with keys.client() as client:
        [key] = client.scan_iter(bucket(bob.user_id).totp + b"*")
        client.set(key, "x", keepttl=True)
    answer = await reauthenticate(bob, code=bob.phone.code(1))
    assert code_of(answer) == (503, "service_unavailable")
    assert await counted(keys, "codes") == 0
    assert claims_of((await bob.refresh()).json()["accessToken"])["amr"] == ["pwd"]
