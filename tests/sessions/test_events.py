"""The audit events: each change appends one, in the script that makes it; see docs/events.md."""

import ipaddress
import re

import httpx
import pytest
from tools.testbed.parts import CLIENT, PATIENTLY, Parts
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD, Person, sign_up
from tools.testbed.waiting import wait_until

from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.redis.preamble import Bounds
from tests.support.looking import events, session_keys

HEADERS = {"X-Request-Id": "the-request"}


def told(server: RedisServer, person: Person) -> list[dict[str, str]]:
    """Events of this person's since the sign-up, without what all of them have in common."""
    rows = events(server, person.user_id)[1:]
    for row in rows:
        assert re.fullmatch(r"\d{13}-\d+", row.pop("id"))
        assert row.pop("user") == person.user_id.hex()
        assert ipaddress.ip_address(row.pop("ip")).is_loopback
        assert row.pop("request") == "the-request"
    return rows


@pytest.fixture
async def ann(http: httpx.AsyncClient, keys: RedisServer) -> Person:
    """Somebody new, all of whose requests have one id."""
    http.headers.update(HEADERS)
    return await sign_up(http)


async def test_signing_up(ann: Person, keys: RedisServer) -> None:
    """One event with all that each has: type, user, session, address, request, and when."""
    (row,) = events(keys, ann.user_id)
    row.pop("id")
    assert row == {
        "type": "user.signedUp",
        "user": ann.user_id.hex(),
        "session": ann.session_id,
        "ip": "127.0.0.1",
        "request": "the-request",
    }


async def test_logging_in_and_refreshing(ann: Person, keys: RedisServer) -> None:
    """A login and a rotation are one event each; a handoff changes nothing and is none."""
    other = await ann.log_in()
    await ann.refresh()
    await ann.refresh()
    await ann.me()
    await ann.sessions()
    assert told(keys, ann) == [
        {"type": "user.loggedIn", "session": other.session_id},
        {"type": "session.rotated", "session": ann.session_id},
    ]


async def test_reuse(ann: Person, keys: RedisServer) -> None:
    """Theft names the session that has ended, the generation presented and the living one."""
    first = ann.holding((await ann.refresh()).json())
    await first.refresh()
    await ann.refresh()
    await ann.refresh()
    assert told(keys, ann)[2:] == [
        {
            "type": "session.reuseDetected",
            "session": ann.session_id,
            "generation": "0",
            "current": "2",
        }
    ]


async def test_logging_out(ann: Person, keys: RedisServer) -> None:
    """Once, however often it is asked for, for the session that has ended."""
    other = await ann.log_in()
    await ann.log_out(other.tokens["refreshToken"])
    await ann.log_out(other.tokens["refreshToken"])
    assert told(keys, ann)[1:] == [{"type": "user.loggedOut", "session": other.session_id}]


async def test_ending_one_and_all(ann: Person, keys: RedisServer) -> None:
    """`session.revoked` says why, and by which session of the user's; of all at once one event
    tells, and how many they were."""
    second, third = await ann.log_in(), await ann.log_in()
    await ann.end(second.session_id)
    await ann.end(second.session_id)
    await ann.log_out_everywhere(keepCurrent=True)
    await ann.log_out_everywhere()
    by = {"by": ann.session_id}
    ended = {"type": "user.sessionsEnded", "count": "1", "reason": "all"} | by
    assert told(keys, ann)[2:] == [
        {"type": "session.revoked", "session": second.session_id, "reason": "user"} | by,
        ended,
        ended,
    ]
    assert third.session_id not in str(told(keys, ann)[3:])


async def test_the_cap(strict: Person, keys: RedisServer) -> None:
    """The session that had to go comes before the one that it made room for."""
    strict.client.headers.update(HEADERS)
    others = [await strict.log_in() for _ in range(3)]
    assert told(keys, strict)[2:] == [
        {"type": "session.revoked", "session": strict.session_id, "reason": "limit"},
        {"type": "user.loggedIn", "session": others[-1].session_id},
    ]


@pytest.mark.one_server("expiry is each server's own")
async def test_the_end_by_expiry_is_no_event(brief: Person, keys: RedisServer) -> None:
    """Nobody does it, so nothing is written, also when somebody comes too late."""
    wait_until(lambda: not session_keys(keys))
    await brief.refresh()
    await brief.log_out()
    assert [row["type"] for row in events(keys, brief.user_id)] == ["user.signedUp"]


async def test_no_event_holds_a_secret(ann: Person, keys: RedisServer) -> None:
    """No token, password or e-mail address, nor a token's digest."""
    await ann.refresh()
    await ann.log_out_everywhere()
    shown = str(events(keys, ann.user_id))
    for secret in (*map(str, ann.tokens.values()), ann.email, PASSWORD):
        assert secret in (ann.session_id, "900", "Bearer") or secret not in shown


@pytest.mark.one_server("a stream is each server's own")
async def test_logouts_cap_a_stream_as_well(keys: RedisServer) -> None:
    """Also when nothing but logouts happens. They look at it with each 64th end of a session."""
    redis_client = RedisClient(keys.url, bounds=Bounds(events=100), timing=PATIENTLY)
    parts = Parts(redis_client)
    users = [bytes(15) + bytes((number,)) for number in range(128)]
    pairs = [await parts.open(user_id) for user_id in users]
    for pair in pairs:
        caller = parts.access_tokens.verify(pair.access_token)
        await parts.sessions.log_out(caller, pair.refresh_token, CLIENT)
    with keys.client() as client:
        assert 50 <= client.xlen(bucket(users[0]).events) <= 164
    await redis_client.aclose()
