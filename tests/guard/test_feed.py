"""Ends of sessions reach every guard, and no guard forgets one."""

import asyncio
import os
from datetime import timedelta

import pytest
from tools.testbed.parts import CLIENT, Parts
from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import eventually

from service.errors import RefreshTokenReused
from service.redis.keys import BUCKETS, bucket
from service.sessions.token_pair import TokenPair
from tests.guard.guards import Guards, log_out, refuses, settled, verdict
from tests.support.looking import ON_VALKEY

USER = bytes(16)


async def test_three_guards_see_a_logout(parts: Parts, guards: Guards) -> None:
    """Of the sessions that they accept, they soon refuse the one that has ended, for good."""
    three = [await guards.start() for _ in range(3)]
    pairs = [await parts.open() for _ in range(20)]
    for guard in three:
        assert [await settled(guard, pair.access_token) for pair in pairs] == ["accepted"] * 20
    await log_out(parts, pairs[7])
    for guard in three:
        await eventually(lambda guard=guard: refuses(guard, pairs[7].access_token))
        others = [pair for pair in pairs if pair is not pairs[7]]
        assert [await settled(guard, pair.access_token) for pair in others] == ["accepted"] * 19
        assert await refuses(guard, pairs[7].access_token)


async def test_each_kind_of_end_is_seen(parts: Parts, guards: Guards) -> None:
    """Logout, one, all others, all, theft, and the limit."""
    guard, sessions = await guards.start(), parts.sessions

    async def seen(*pairs: TokenPair) -> None:
        for pair in pairs:
            await eventually(lambda pair=pair: refuses(guard, pair.access_token))

    pairs = [await parts.open(USER) for _ in range(5)]
    caller = parts.access_tokens.verify(pairs[0].access_token)
    await log_out(parts, pairs[1])
    await seen(pairs[1])
    await sessions.revoke(caller, pairs[2].session_id, CLIENT)
    await seen(pairs[2])
    await sessions.revoke_all(caller, True, CLIENT)
    await seen(pairs[3], pairs[4])
    assert await settled(guard, pairs[0].access_token) == "accepted"
    await sessions.revoke_all(caller, False, CLIENT)
    await seen(pairs[0])

    stolen = await parts.open(USER)
    second = await sessions.refresh(stolen.refresh_token, CLIENT)
    third = await sessions.refresh(second.refresh_token, CLIENT)
    assert await settled(guard, third.access_token) == "accepted"
    with pytest.raises(RefreshTokenReused):
        await sessions.refresh(stolen.refresh_token, CLIENT)
    await seen(stolen, second, third)

    many = [await parts.open(USER) for _ in range(51)]
    await seen(many[0])
    assert await settled(guard, many[1].access_token) == "accepted"


async def test_a_guard_that_starts_later_knows(parts: Parts, guards: Guards) -> None:
    """What has ended in all buckets before it came, more than one reply holds."""
    ended = [await parts.open(bytes((number,)) * 16) for number in range(BUCKETS)]
    busy = [await parts.open() for _ in range(5)]
    for pair in (*ended, *busy):
        await log_out(parts, pair)
    for _ in range(100):
        await log_out(parts, await parts.open(USER))
    last = await parts.open(USER)
    await log_out(parts, last)
    living = await parts.open(USER)
    guard = await guards.start()
    for pair in (*ended, *busy, last):
        assert await refuses(guard, pair.access_token)
    assert await settled(guard, living.access_token) == "accepted"
    assert guard.counters.feed_rereads == guard.counters.feed_losses == 0


@ON_VALKEY
async def test_a_guard_keeps_nothing_for_ever(
    parts: Parts, guards: Guards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry is dropped once no access token of its session can live, not before."""
    monkeypatch.setattr("service.guard.verifier.FEED_SKEW", timedelta())
    guard = await guards.start(access_ttl=timedelta(seconds=900), bound=timedelta(seconds=0.2))
    brief = await guards.start(access_ttl=timedelta(seconds=1), bound=timedelta(seconds=0.2))
    pair = await parts.open(USER)
    await log_out(parts, pair)

    async def forgotten() -> bool:
        return not any(map(len, brief._shards))

    await eventually(lambda: refuses(guard, pair.access_token))
    await eventually(forgotten)
    assert await refuses(guard, pair.access_token)
    assert sum(map(len, guard._shards)) == 1


@ON_VALKEY
async def test_tokens_that_live_too_long_are_refused(parts: Parts, guards: Guards) -> None:
    """A guard that was told too short a life would forget ends of sessions too early."""
    guard = await guards.start(access_ttl=timedelta(seconds=899))
    assert await refuses(guard, (await parts.open()).access_token)


@ON_VALKEY
async def test_under_load_a_refused_token_stays_refused(parts: Parts, guards: Guards) -> None:
    """Callers keep asking while sessions end: after the first refusal of a token no acceptance."""
    three = [await guards.start() for _ in range(3)]
    pairs = [await parts.open(os.urandom(16)) for _ in range(40)]
    over = asyncio.Event()

    async def keep_asking(number: int, pair: TokenPair) -> list[str]:
        told = []
        while not over.is_set():
            told.append(await verdict(three[number % 3], pair.access_token))
            await asyncio.sleep(0)
        return told

    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(keep_asking(n, pair)) for n, pair in enumerate(pairs)]
        for pair in pairs[:30]:
            await log_out(parts, pair)
        for number, pair in enumerate(pairs[:30]):
            await eventually(lambda n=number, p=pair: refuses(three[n % 3], p.access_token))
        over.set()
    for number, task in enumerate(asking):
        told = task.result()
        assert told == sorted(told), "first accepted, then refused"
        assert ("refused" in told) <= (number < 30)
        assert set(told) <= {"accepted", "refused"}


@ON_VALKEY
async def test_a_strangers_entry_is_a_loss(parts: Parts, guards: Guards, keys: RedisServer) -> None:
    """What is no entry of ours cannot be read: somebody's session may have ended by it."""
    guard = await guards.start(bound=timedelta(seconds=1))
    pair = await parts.open(USER)
    with keys.client() as client:
        client.xadd(bucket(USER).revoked, {"x": "y"})

    async def noticed() -> bool:
        return guard.counters.feed_losses > 0

    await eventually(noticed)
    assert await verdict(guard, pair.access_token) == "unavailable"
    assert guard.counters.feed_losses == 1
