"""A session that expired while others keep the index: it is over, and nothing of it is told."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from tools.testbed.parts import CLIENT, LIVES, Parts
from tools.testbed.redis_server import RedisServer

from service.errors import (
    InvalidAccessToken,
    InvalidRefreshToken,
    NothingToRevoke,
    RefreshTokenReused,
    SessionNotFound,
)
from service.redis.keys import bucket
from service.sessions.sessions import Lives
from service.sessions.token_pair import TokenPair
from tests.support.keys import handoff_prefix, session_prefix
from tests.support.looking import events

USER = bytes(range(16))
INDEX = bucket(USER).index + USER


def expire(server: RedisServer, pair: TokenPair) -> None:
    """What Redis does when the time of a session has come; the index lives on."""
    with server.client() as client:
        digest = client.hget(INDEX, pair.session_id)
        assert client.delete(session_prefix(USER) + digest) == 1


def told(server: RedisServer) -> tuple[int, int]:
    """How many events there are about the user, and how many entries of the feed."""
    with server.client() as client:
        return len(events(server, USER)), client.xlen(bucket(USER).revoked)


def known(server: RedisServer) -> set[bytes]:
    """The sessions that the index names."""
    with server.client() as client:
        return {name for name in client.hkeys(INDEX) if len(name) == 12}


async def test_its_calls_are_refused(parts: Parts, keys: RedisServer) -> None:
    """Like those of one that was logged out: refused, without an event or an entry of the feed."""
    over, other = await parts.open(USER), await parts.open(USER)
    caller = parts.access_tokens.verify(over.access_token)
    mine = parts.access_tokens.verify(other.access_token)
    expire(keys, over)
    before = told(keys)
    sessions = parts.sessions
    calls: list[tuple[type[Exception], Callable[[], Awaitable[Any]]]] = [
        (InvalidAccessToken, lambda: sessions.current(caller)),
        (InvalidAccessToken, lambda: sessions.all_of(caller, CLIENT)),
        (InvalidAccessToken, lambda: sessions.revoke(caller, other.session_id, CLIENT)),
        (InvalidAccessToken, lambda: sessions.revoke_all(caller, False, CLIENT)),
        (InvalidRefreshToken, lambda: sessions.refresh(over.refresh_token, CLIENT)),
        (SessionNotFound, lambda: sessions.revoke(mine, over.session_id, CLIENT)),
        (NothingToRevoke, lambda: sessions.log_out(caller, over.refresh_token, CLIENT)),
    ]
    for error, call in calls:
        with pytest.raises(error):
            await call()
    assert told(keys) == before
    assert [each.id for each in await sessions.all_of(mine, CLIENT)] == [other.session_id]
    assert (await sessions.current(mine)).id == other.session_id


async def test_the_index_forgets_it(parts: Parts, keys: RedisServer) -> None:
    """At a logout from everywhere and at a login that asks for room; it counts for neither."""
    over, other, more = [await parts.open(USER) for _ in range(3)]
    mine = parts.access_tokens.verify(other.access_token)
    expire(keys, over)
    assert await parts.sessions.revoke_all(mine, True, CLIENT) == 1
    assert known(keys) == {other.session_id}
    expire(keys, other)
    before = told(keys)
    one = Parts(parts.link, most_per_user=1)
    fresh = await one.open(USER)
    assert known(keys) == {fresh.session_id}
    assert told(keys) == (before[0] + 1, before[1]), "the login, and no end"
    assert more.session_id not in known(keys)


async def test_room_is_made_for_one(parts: Parts, keys: RedisServer) -> None:
    """The oldest goes, only it, and only when there is no room: the expired one had made some."""
    three = Parts(parts.link, most_per_user=3)
    pairs = []
    for _ in range(3):
        pairs.append(await three.open(USER))
        await asyncio.sleep(0.002)  # which is the oldest is told by milliseconds
    assert known(keys) == {pair.session_id for pair in pairs}
    expire(keys, pairs[1])
    pairs.append(await three.open(USER))
    assert known(keys) == {pairs[number].session_id for number in (0, 2, 3)}
    pairs.append(await three.open(USER))
    assert known(keys) == {pairs[number].session_id for number in (2, 3, 4)}


def spare(idle: timedelta) -> int:
    """How much longer the index lives than the session that is its longest, ms."""
    return idle // timedelta(milliseconds=1) // 128


async def test_the_index_outlives_its_shortest(parts: Parts, keys: RedisServer) -> None:
    """A session near its end opens and refreshes beside a longer one, which stays in the index."""
    short = Parts(parts.link, Lives(timedelta(hours=1), timedelta(hours=1), LIVES.grace))
    with keys.client() as client:
        brief = await short.open(USER)
        first = client.pexpiretime(INDEX)
        caller = short.access_tokens.verify(brief.access_token)
        ends = (await short.sessions.current(caller)).expires_at.timestamp() * 1000
        assert first == ends + spare(timedelta(hours=1))
        long = await parts.open(USER)
        longest = client.pexpiretime(INDEX)
        caller = parts.access_tokens.verify(long.access_token)
        ends = (await parts.sessions.current(caller)).expires_at.timestamp() * 1000
        assert longest == ends + spare(LIVES.idle)
        brief = await short.sessions.refresh(brief.refresh_token, CLIENT)
        assert client.pexpiretime(INDEX) == longest
        await short.open(USER)
        assert client.pexpiretime(INDEX) == longest
        await short.sessions.refresh(brief.refresh_token, CLIENT)
        assert client.pexpiretime(INDEX) == longest


@pytest.mark.one_server("KEYS asks one server")
async def test_no_end_leaves_a_handoff(parts: Parts, keys: RedisServer) -> None:
    """Logout, revocation, logout everywhere, no room, and theft."""

    async def spent() -> tuple[TokenPair, TokenPair]:
        pair = await parts.open(USER)
        return pair, await parts.sessions.refresh(pair.refresh_token, CLIENT)

    def handoffs() -> int:
        with keys.client() as client:
            return len(client.keys(handoff_prefix(USER) + b"*"))

    mine = parts.access_tokens.verify((await parts.open(USER)).access_token)
    first, second = await spent()
    assert handoffs() == 1
    await parts.sessions.log_out(mine, second.refresh_token, CLIENT)
    assert handoffs() == 0
    first, second = await spent()
    await parts.sessions.revoke(mine, second.session_id, CLIENT)
    assert handoffs() == 0
    await spent()
    await parts.sessions.revoke_all(mine, True, CLIENT)
    assert handoffs() == 0
    first, second = await spent()
    await parts.sessions.refresh(second.refresh_token, CLIENT)
    assert handoffs() == 1
    with pytest.raises(RefreshTokenReused):
        await parts.sessions.refresh(first.refresh_token, CLIENT)
    assert handoffs() == 0
    await spent()
    await Parts(parts.link, most_per_user=1).open(USER)
    assert handoffs() == 0
