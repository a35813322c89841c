"""Logout: rows T5.1 to T5.3 of the founding specification, and what follows from them."""

import asyncio
from collections import Counter

import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import Person, code_of, sign_up

NOTHING_TO_REVOKE = (400, "session_not_found")
ROUNDS = 60


async def test_logout_ends_the_session_at_once(person: Person) -> None:
    """T5.1: 204 with an empty body; then neither token of the session works."""
    answer = await person.log_out()
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await person.me()).status_code == 401
    assert (await person.refresh()).json()["error"]["code"] == "invalid_refresh_token"


async def test_nothing_of_an_ended_session_stays(person: Person, keys: RedisServer) -> None:
    """No record, no index, no handoff: only the audit events and the feed are left."""
    assert (await person.refresh()).status_code == 200
    assert (await person.log_out()).status_code == 204
    with keys.client() as client:
        # A barrier is what readiness asks replicas by, now and then.
        left = (b"events:", b"revoked:", b"revocations:", b"barrier:")
        assert [key for key in client.scan_iter() if not key.startswith(left)] == []


async def test_of_fifty_racing_logouts_one_ends_the_session(person: Person) -> None:
    """One 204, forty-nine times the answer of a repeated logout."""
    answers = await asyncio.gather(*(person.log_out() for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [204] + [400] * 49


async def test_nothing_minted_outlives_a_racing_logout(person: Person) -> None:
    """Refresh races logout: whatever a refresh answered, after the 204 none of it works."""
    refreshed: Counter[int] = Counter()
    for number in range(ROUNDS):
        session = await person.log_in()
        race = [session.refresh(), session.log_out(), session.refresh()]
        turn = number % 3
        answers = await asyncio.gather(*race[turn:], *race[:turn])
        statuses = [answer.status_code for answer in answers]
        assert statuses.count(204) == 1, statuses
        for answer in answers:
            if answer.status_code != 204:
                refreshed[answer.status_code] += 1
            if answer.status_code == 200:
                fresh = session.holding(answer.json())
                assert (await fresh.me()).status_code == 401
                assert (await fresh.refresh()).status_code == 401
        assert (await session.refresh()).status_code == 401
        assert (await session.me()).status_code == 401
    assert set(refreshed) == {200, 401}, "both orders were seen"
    assert len((await person.sessions()).json()["sessions"]) == 1


async def test_a_spent_token_logs_out_as_well(person: Person) -> None:
    """Whoever logs out with the token from before the last refreshes has the session ended."""
    first = person.holding((await person.refresh()).json())
    second = person.holding((await first.refresh()).json())
    assert (await second.log_out(person.tokens["refreshToken"])).status_code == 204
    assert (await second.me()).status_code == 401
    assert (await second.refresh()).status_code == 401


async def test_a_repeated_logout_is_400_not_401(person: Person) -> None:
    """T5.3: the access token is still good enough to be told that there is nothing to revoke."""
    await person.log_out()
    answer = await person.log_out()
    assert code_of(answer) == NOTHING_TO_REVOKE
    assert answer.json()["error"]["message"] == "Session not found or already revoked."


async def test_everything_else_is_401_after_the_end(person: Person) -> None:
    """The access token of an ended session opens no other door."""
    other = await person.log_in()
    await person.log_out()
    for answer in (
        await person.me(),
        await person.sessions(),
        await person.end(other.session_id),
        await person.end("no such id"),
        await person.log_out_everywhere(),
        await person.log_out_everywhere(keepCurrent=True),
    ):
        assert code_of(answer) == (401, "unauthorized")
        assert (
            answer.headers["www-authenticate"] == 'Bearer realm="openshow", error="invalid_token"'
        )
    assert (await other.me()).status_code == 200


@pytest.mark.one_server("it is turned down before Redis is asked")
@pytest.mark.parametrize("body", [{}, {"refreshToken": None}, {"refreshToken": ""}, None])
async def test_the_token_must_be_in_the_body(person: Person, body: object) -> None:
    """T5.2: absent, null and empty are the literal message; nothing is ended."""
    answer = await person.client.post("/auth/logout", json=body, headers=person.bearer)
    assert code_of(answer) == (400, "bad_request")
    message = "Refresh token is required in the body for revocation."
    assert answer.json()["error"]["message"] == message
    assert (await person.me()).status_code == 200


async def test_a_token_of_another_of_my_sessions_ends_that_one(person: Person) -> None:
    """It is the caller's, so it may be used from any of their devices."""
    other = await person.log_in()
    assert (await person.log_out(other.tokens["refreshToken"])).status_code == 204
    assert (await other.me()).status_code == 401
    assert (await person.me()).status_code == 200


async def test_anothers_token_is_refused_and_stays_alive(person: Person) -> None:
    """Same answer as for one that does not exist, and nobody is logged out."""
    victim = await sign_up(person.client)
    assert code_of(await person.log_out(victim.tokens["refreshToken"])) == NOTHING_TO_REVOKE
    assert (await victim.me()).status_code == 200
    assert (await victim.refresh()).status_code == 200
    assert (await person.me()).status_code == 200


@pytest.mark.one_server("it is turned down before Redis is asked")
@pytest.mark.parametrize("junk", ["x", "osr_" + "A" * 120, "🙂", " "])
async def test_junk_is_nothing_to_revoke(person: Person, junk: str) -> None:
    """Malformed and unknown are one answer, and end nothing."""
    assert code_of(await person.log_out(junk)) == NOTHING_TO_REVOKE
    assert (await person.me()).status_code == 200


@pytest.mark.one_server("it is turned down before Redis is asked")
async def test_an_access_token_is_needed(person: Person) -> None:
    """Without one, or with junk for one, the refresh token alone ends nothing."""
    body = {"refreshToken": person.tokens["refreshToken"]}
    for headers in ({}, {"Authorization": "Bearer junk"}):
        answer = await person.client.post("/auth/logout", json=body, headers=headers)
        assert code_of(answer) == (401, "unauthorized")
    assert (await person.me()).status_code == 200
