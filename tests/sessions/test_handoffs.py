"""Handoffs to another network or user agent than that of the rotation: told once, borne twice."""

import ipaddress

import httpx
import msgspec
import pytest
from tools.testbed.parts import CLIENT, Parts
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import Person, code_of

from service.errors import InvalidRefreshToken, RefreshTokenReused
from service.sessions.origin import RequestOrigin
from service.sessions.token_pair import TokenPair
from tests.support.keys import session_prefix
from tests.support.looking import events

BROWSER, THIEF = {"User-Agent": "a browser"}, {"User-Agent": "somebody else"}


async def refresh(person: Person, token: str, headers: dict[str, str]) -> httpx.Response:
    body = {"refreshToken": token}
    return await person.client.post("/auth/refresh", json=body, headers=headers)


def told(server: RedisServer, user_id: bytes) -> list[tuple[str, str]]:
    """The handoffs to elsewhere and thefts among the events, and how many were in a row."""
    return [
        (row["type"], row.get("inARow", ""))
        for row in events(server, user_id)
        if row["type"] in ("session.handoffElsewhere", "session.reuseDetected")
    ]


async def test_a_thief_who_follows_is_found_at_the_third_rotation(
    person: Person, keys: RedisServer
) -> None:
    """Whoever takes each successor out of the grace gets two; the third ends the session."""
    token = person.tokens["refreshToken"]
    for _ in range(2):
        rotated = (await refresh(person, token, BROWSER)).json()
        stolen = await refresh(person, token, THIEF)
        assert stolen.json()["refreshToken"] == rotated["refreshToken"]
        assert (await refresh(person, token, THIEF)).status_code == 200, "once a rotation"
        token = rotated["refreshToken"]
    fresh = (await refresh(person, token, BROWSER)).json()
    caught = await refresh(person, token, THIEF)
    assert code_of(caught) == (401, "refresh_token_reused")
    assert code_of(await refresh(person, fresh["refreshToken"], BROWSER)) == (
        401,
        "invalid_refresh_token",
    )
    assert (await person.holding(fresh).me()).status_code == 401
    elsewhere = [("session.handoffElsewhere", str(number)) for number in (1, 2, 3)]
    assert told(keys, person.user_id) == [*elsewhere, ("session.reuseDetected", "")]
    with keys.client() as client:
        assert client.xlen(b"revoked:{%02x}" % (person.user_id[0] & 63)) == 1


@pytest.mark.one_server("what a script decides is the same on any")
@pytest.mark.parametrize("before", range(9))
async def test_only_rotations_in_a_row_count(parts: Parts, keys: RedisServer, before: int) -> None:
    """A rotation without such a handoff begins anew, at every generation."""
    other = msgspec.structs.replace(CLIENT, user_agent="another")
    pair = await parts.open()
    user_id = parts.access_tokens.verify(pair.access_token).user_id
    for _ in range(before):
        pair = await parts.sessions.refresh(pair.refresh_token, CLIENT)
    for elsewhere in (True, True, False, True, True, False, True, True):
        spent = pair
        pair = await parts.sessions.refresh(spent.refresh_token, CLIENT)
        again = await parts.sessions.refresh(spent.refresh_token, other if elsewhere else CLIENT)
        assert again.refresh_token == pair.refresh_token
    assert [number for _, number in told(keys, user_id)] == ["1", "2"] * 3
    spent = pair
    await parts.sessions.refresh(spent.refresh_token, CLIENT)
    with pytest.raises(RefreshTokenReused):
        await parts.sessions.refresh(spent.refresh_token, other)


def at(address: str | None, user_agent: str = "a browser") -> RequestOrigin:
    return RequestOrigin(
        ipaddress.ip_address(address) if address else None, user_agent, "request-2"
    )


@pytest.mark.one_server("what a script decides is the same on any")
@pytest.mark.parametrize(
    ("rotating", "asking", "elsewhere"),
    [
        ("192.0.2.7", "192.0.2.200", False),
        ("192.0.2.7", "192.0.3.7", True),
        ("192.0.2.7", "::ffff:192.0.2.9", False),
        ("::ffff:192.0.2.9", "192.0.2.7", False),
        ("::ffff:192.0.2.9", "::ffff:192.0.3.9", True),
        ("2001:db8::1", "2001:db8::ffff:1", False),
        ("2001:db8::1", "2001:db8:0:1::1", True),
        ("2001:db8::1", "192.0.2.7", True),
        ("::1", "::ffff:0.0.0.1", True),
        (None, None, False),
        (None, "192.0.2.7", True),
        ("192.0.2.7", None, True),
    ],
)
async def test_what_another_network_is(
    parts: Parts, keys: RedisServer, rotating: str | None, asking: str | None, elsewhere: bool
) -> None:
    """IPv4 /24 and IPv6 /64, as attempts are counted; an unknown address is one network."""
    pair = await parts.open()
    await parts.sessions.refresh(pair.refresh_token, at(rotating))
    await parts.sessions.refresh(pair.refresh_token, at(asking))
    await parts.sessions.refresh(pair.refresh_token, at(asking))
    user_id = parts.access_tokens.verify(pair.access_token).user_id
    assert told(keys, user_id) == [("session.handoffElsewhere", "1")] * elsewhere


@pytest.mark.one_server("what a script decides is the same on any")
@pytest.mark.parametrize("asking", ["another browser", "a browse", ""])
async def test_another_user_agent(parts: Parts, keys: RedisServer, asking: str) -> None:
    """From the same network; the event names the session, the address and the request."""
    pair = await parts.open()
    await parts.sessions.refresh(pair.refresh_token, at("192.0.2.7"))
    await parts.sessions.refresh(pair.refresh_token, at("192.0.2.8", asking))
    user_id = parts.access_tokens.verify(pair.access_token).user_id
    [event] = [row for row in events(keys, user_id) if row["type"] == "session.handoffElsewhere"]
    assert (event["session"], event["ip"]) == (pair.session_id.hex(), "192.0.2.8")
    assert (event["request"], event["generation"]) == ("request-2", "1")


async def tokens_of(parts: Parts) -> tuple[TokenPair, bytes]:
    pair = await parts.open()
    return pair, parts.access_tokens.verify(pair.access_token).user_id


async def test_what_is_noted_costs_no_byte_and_moves_no_end(
    parts: Parts, keys: RedisServer
) -> None:
    """The record stays as long and lives as long; how the person authenticated is untouched."""
    pair, user_id = await tokens_of(parts)
    fresh = await parts.sessions.refresh(pair.refresh_token, CLIENT)
    with keys.client() as client:
        [key] = client.scan_iter(session_prefix(user_id) + b"*")
        before, ends = client.get(key), client.pexpiretime(key)
        await parts.sessions.refresh(pair.refresh_token, at("198.51.100.1"))
        after = client.get(key)
        assert client.pexpiretime(key) == ends
    assert before != after
    assert (before[:21], before[22:], before[21] & 7) == (after[:21], after[22:], after[21] & 7)
    caller = parts.access_tokens.verify(fresh.access_token)
    assert (await parts.sessions.current(caller)).authentication.methods == ("pwd",)


async def test_a_rotation_by_an_older_version_counts_as_without(
    parts: Parts, keys: RedisServer
) -> None:
    """It copies what is noted as it is: bound to a generation, that says nothing of the next."""
    other = at("198.51.100.1")
    pair, user_id = await tokens_of(parts)
    for _ in range(2):
        spent, pair = pair, await parts.sessions.refresh(pair.refresh_token, CLIENT)
        await parts.sessions.refresh(spent.refresh_token, other)
    with keys.client() as client:
        [key] = client.scan_iter(session_prefix(user_id) + b"*")
        noted = client.get(key)[21:22]
        spent, pair = pair, await parts.sessions.refresh(pair.refresh_token, CLIENT)
        [key] = client.scan_iter(session_prefix(user_id) + b"*")
        record = client.get(key)
        client.set(key, record[:21] + noted + record[22:], keepttl=True)
    spent, pair = pair, await parts.sessions.refresh(pair.refresh_token, CLIENT)
    await parts.sessions.refresh(spent.refresh_token, other)
    assert [number for _, number in told(keys, user_id)] == ["1", "2", "1"]
    with pytest.raises(InvalidRefreshToken):
        await parts.sessions.refresh("osr_", CLIENT)
