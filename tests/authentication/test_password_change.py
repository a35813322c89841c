"""Changing the password: all sessions end, one begins, and every mistake has its name."""

import asyncio
from typing import Any

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD, Person, claims_of, code_of

from tests.authentication.test_reauthentication import renewed
from tests.support.looking import ON_VALKEY, events
from tests.support.proofs import let_time_pass
from tests.support.two_factor import Holder

pytestmark = ON_VALKEY

NEW = "a wholly different phrase"


async def change(person: Person, current: object = PASSWORD, new: object = NEW) -> httpx.Response:
    body = {"currentPassword": current, "newPassword": new}
    return await person.client.post("/auth/password/change", json=body, headers=person.bearer)


async def log_in(person: Person, password: str) -> httpx.Response:
    body = {"email": person.email, "password": password}
    return await person.client.post("/auth/login", json=body)


async def test_all_sessions_end_and_one_begins(ann: Holder, keys: RedisServer) -> None:
    """The caller's too: their access and refresh tokens, and those of any other session, are dead
    by the time of the answer; the old password is one of nobody."""
    let_time_pass(keys, ann, 5000)
    other = await ann.log_in()
    answer = await change(ann)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert set(answer.json()) == {
        "accessToken", "refreshToken", "tokenType", "expiresIn", "sessionId", "user",
    }  # fmt: skip
    assert answer.json()["user"]["email"] == ann.email
    after = ann.holding(answer.json())
    assert after.session_id not in (ann.session_id, other.session_id)
    for person in (ann, other):
        assert code_of(await person.me()) == (401, "unauthorized")
        assert code_of(await person.refresh()) == (401, "invalid_refresh_token")
        assert code_of(await person.log_out()) == (400, "session_not_found")
    [session] = (await after.sessions()).json()["sessions"]
    assert (session["id"], session["current"]) == (after.session_id, True)
    claims = claims_of(after.tokens["accessToken"])
    assert claims["amr"] == ["pwd"]
    assert claims["auth_time"] > claims_of(ann.tokens["accessToken"])["auth_time"] - 60
    assert (await after.refresh()).status_code == 200
    assert code_of(await log_in(ann, PASSWORD)) == (401, "invalid_credentials")
    assert (await log_in(ann, NEW)).status_code == 200


async def test_it_is_told(ann: Holder, keys: RedisServer) -> None:
    """That the sessions have ended, how many, and why; then that one was opened, and by what."""
    await ann.log_in()
    after = ann.holding((await change(ann)).json())
    *_, ended, opened = events(keys, ann.user_id)
    assert (ended["reason"], ended["count"]) == ("passwordChanged", "2")
    assert (opened["type"], opened["session"]) == ("user.passwordChanged", after.session_id)


async def test_wrong_ones_count_as_at_login(ann: Holder) -> None:
    """Ten over all doors, whatever the new one is; then 429, also to the right one."""
    for new in (NEW, PASSWORD, "short", "password1", NEW):
        assert code_of(await change(ann, "wrong", new)) == (400, "invalid_password")
        await log_in(ann, "wrong")
    assert code_of(await change(ann)) == (429, "rate_limited")
    assert code_of(await log_in(ann, PASSWORD)) == (429, "rate_limited")
    assert (await ann.me()).status_code == 200


@pytest.mark.parametrize(
    ("new", "code"),
    [
        ("short", "weak_password"),
        ("password1", "weak_password"),
        ("aaaaaaaaaaaa", "weak_password"),
        ("openshow 2026", "weak_password"),
        (PASSWORD, "password_unchanged"),
        (PASSWORD.replace("c", "\uff43"), "password_unchanged"),
        ("x" * 1025, "bad_request"),
        ("\ufdfa" * 600, "bad_request"),
    ],
)
async def test_new_ones_that_will_not_do(ann: Holder, new: str, code: str) -> None:
    """Nothing has changed then, and the right current one does not count as wrong."""
    answer = await change(ann, new=new)
    assert code_of(answer) == (400, code)
    if code == "bad_request":
        assert [each["field"] for each in answer.json()["error"]["details"]] == ["newPassword"]
    assert (await ann.refresh()).status_code == 200
    assert (await log_in(ann, PASSWORD)).status_code == 200


async def test_the_address_is_weak(ann: Holder) -> None:
    """As at sign-up."""
    assert code_of(await change(ann, new=ann.email)) == (400, "weak_password")


@pytest.mark.parametrize("value", [None, 1, True, [], {}])
@pytest.mark.parametrize("field", ["currentPassword", "newPassword"])
async def test_wrong_types_are_named(ann: Holder, field: str, value: object) -> None:
    """And what is missing."""
    right = {"currentPassword": PASSWORD, "newPassword": NEW}
    missing = {name: text for name, text in right.items() if name != field}
    for body in (right | {field: value}, missing):
        answer = await ann.client.post("/auth/password/change", json=body, headers=ann.bearer)
        assert code_of(answer) == (400, "bad_request")
        assert [each["field"] for each in answer.json()["error"]["details"]] == [field]


async def test_with_2fa_it_must_be_recent(bob: Holder, keys: RedisServer) -> None:
    """A session that has shown no code, or long ago, is asked for one, before the password counts;
    the new session has proved what that one had."""
    for _ in range(12):
        refused = await change(bob, "wrong")
        assert code_of(refused) == (401, "insufficient_user_authentication")
    assert 'max_age="600"' in refused.headers["www-authenticate"]
    proved = await renewed(bob, code=bob.phone.code(1))
    let_time_pass(keys, proved, 601)
    assert code_of(await change(proved)) == (401, "insufficient_user_authentication")
    proved = await renewed(proved, code=bob.recovery_codes[0])
    answer = await change(proved)
    assert answer.status_code == 200, answer.text
    assert claims_of(answer.json()["accessToken"])["amr"] == ["pwd", "otp", "mfa"]
    assert answer.json()["user"]["twoFA"] == {"enabled": True, "recoveryCodesLeft": 9}
    after = proved.holding(answer.json())
    again = await change(after, NEW, PASSWORD)
    assert again.status_code == 200, "the session that it has opened is recent"


async def test_open_logins_end(bob: Holder) -> None:
    """A challenge that the old password has opened is of no use any more."""
    challenge = await bob.challenge()
    proved = await renewed(bob, code=bob.recovery_codes[0])
    assert (await change(proved)).status_code == 200
    answer = await bob.answer(challenge, bob.phone.code(1))
    assert code_of(answer) == (401, "challenge_not_found")
    begun = await log_in(bob, NEW)
    answer = await bob.answer(begun.json()["challengeId"], bob.phone.code(1))
    assert answer.status_code == 200


async def test_twenty_at_once(ann: Holder) -> None:
    """One of those who change it at once does; its session is the only one."""
    answers = await asyncio.gather(*(change(ann, new=f"{NEW} {i}") for i in range(8)))
    [(number, won)] = [(i, a) for i, a in enumerate(answers) if a.status_code == 200]
    others = {code_of(answer) for answer in answers if answer is not won}
    assert others <= {
        (400, "invalid_password"), (401, "unauthorized"), (503, "service_unavailable"),
    }  # fmt: skip
    after = ann.holding(won.json())
    assert [each["id"] for each in (await after.sessions()).json()["sessions"]] == [
        after.session_id
    ]
    assert (await log_in(ann, f"{NEW} {number}")).status_code == 200


async def test_an_ended_session_changes_nothing(ann: Holder) -> None:
    """However valid its access token still is."""
    other: Any = await ann.log_in()
    await other.log_out()
    assert code_of(await change(other)) == (401, "unauthorized")
    assert (await log_in(ann, PASSWORD)).status_code == 200
