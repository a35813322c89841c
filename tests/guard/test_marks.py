"""A guard on a Redis that is not its issuer's: the feed is lost, whatever the mode, and it says so.

A database, a server or a deployment that was mixed up has a whole feed of its own, in which no
session of ours ever ends.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from tools.testbed.issuer import Issuer
from tools.testbed.parts import Parts
from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import eventually

from service.embedded.files import find_binary
from service.guard import Verifier
from service.redis.client import RedisClient
from service.redis.feed_marking import FeedMarking
from service.redis.keys import bucket, numbered
from service.sessions.token_pair import TokenPair
from tests.guard.guards import ISSUER, Guards, log_out, refuses, settled, verdict
from tests.support.looking import ON_VALKEY

pytestmark = ON_VALKEY

USER, OTHER = bytes(16), b"\1" * 16
BOUND = timedelta(seconds=1)
THEIRS = "https://theirs.example"


async def becomes(guard: Verifier, pair: TokenPair, wanted: str) -> None:
    async def so() -> bool:
        return await verdict(guard, pair.access_token) == wanted

    await eventually(so)


async def lost(guard: Verifier) -> bool:
    return guard.feed_lost


async def ended(parts: Parts) -> TokenPair:
    pair = await parts.open(USER)
    await log_out(parts, pair)
    return pair


async def test_another_database(
    parts: Parts, guards: Guards, issuer: Issuer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody has marked it: `closed` and `ask` let nobody in, and the log names the issuer."""
    server = RedisServer(find_binary(), tmp_path, "--databases", "2").start()
    try:
        elsewhere = server.url.reveal() + "?db=1"
        pair, living = await ended(parts), await parts.open(OTHER)
        closed = await guards.start(redis_url=elsewhere, bound=BOUND)
        ask = await guards.start(redis_url=elsewhere, bound=BOUND, when_lost="ask")
        strict = await guards.start(redis_url=elsewhere, mode="strict")
        for guard in (closed, ask, strict):
            for each in (pair, living):
                assert await verdict(guard, each.access_token) == "unavailable"
        assert closed.feed_lost
        assert ask.feed_lost
        told = [r.getMessage() for r in caplog.records if "bears no mark" in r.getMessage()]
        assert len(told) == 3, "each guard once a minute"
        assert all(repr(ISSUER) in line for line in told)
        assert pair.access_token not in caplog.text
    finally:
        server.stop()


async def test_another_issuers_feed(
    parts: Parts, guards: Guards, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It has a feed of its own, with entries: none of it counts, and the log names both issuers."""
    server = RedisServer(find_binary(), tmp_path).start()
    redis_client = RedisClient(server.url)
    try:
        theirs = Parts(redis_client)
        await FeedMarking(redis_client, THEIRS).mark()
        for _ in range(3):
            await ended(theirs)
        pair, living = await ended(parts), await parts.open(OTHER)
        guard = await guards.start(redis_url=server.url.reveal(), bound=BOUND)
        strict = await guards.start(redis_url=server.url.reveal(), mode="strict")
        for each in (pair, living):
            assert await verdict(guard, each.access_token) == "unavailable"
            assert await verdict(strict, each.access_token) == "unavailable"
        assert guard.feed_lost
        assert sum(map(len, guard._shards)) == 0, "nothing was taken from it"
        assert f"issuer {THEIRS!r}, this guard's is {ISSUER!r}" in caplog.text
        await FeedMarking(redis_client, ISSUER).mark("all")
        await becomes(strict, living, "refused")  # it is ours now, and has no such session
        await becomes(guard, living, "accepted")
    finally:
        await redis_client.aclose()
        server.stop()


Mischief = Callable[["redis.Redis", bytes], object]

WRONG: dict[str, Mischief] = {
    "another issuer's": lambda client, key: client.xadd(key, {"iss": THEIRS}),
    "another's, longer by a letter": lambda client, key: client.xadd(key, {"iss": ISSUER + "/"}),
    "another field": lambda client, key: client.xadd(key, {"aud": ISSUER}),
    "a field too many": lambda client, key: client.xadd(key, {"iss": ISSUER, "x": "y"}),
    "two entries": lambda client, key: [client.xadd(key, {"iss": ISSUER}) for _ in range(2)],
    "no text": lambda client, key: client.xadd(key, {"iss": b"\xff\x00"}),
    "no stream": lambda client, key: client.set(key, ISSUER),
}


@pytest.mark.parametrize("mischief", WRONG.values(), ids=WRONG.keys())
async def test_a_mark_that_becomes_wrong(
    parts: Parts, guards: Guards, keys: RedisServer, mischief: Mischief
) -> None:
    """Under a guard that runs, in one bucket: its users are not judged any more, others are."""
    guard = await guards.start(bound=BOUND)
    strict = await guards.start(mode="strict", bound=BOUND)
    living, other = await parts.open(USER), await parts.open(OTHER)
    for each in (guard, strict):
        assert await settled(each, living.access_token) == "accepted"
    mark = bucket(USER).issuer
    with keys.client() as client, client.pipeline() as both:
        both.delete(mark)
        mischief(both, mark)
        both.execute()
        for each in (guard, strict):
            await becomes(each, living, "unavailable")
        await eventually(lambda: lost(guard))
        if mischief is not WRONG["no stream"]:  # there the whole read fails
            assert await settled(guard, other.access_token) == "accepted"
        client.delete(mark)  # which the service writes again
    for each in (guard, strict):
        await becomes(each, living, "accepted")
    await log_out(parts, living)
    for each in (guard, strict):
        await eventually(lambda each=each: refuses(each, living.access_token))
    assert guard.counters.feed_losses == 0


async def test_what_ends_while_the_mark_is_gone(
    parts: Parts, guards: Guards, keys: RedisServer
) -> None:
    """It is read once the mark is back; who was let in before is let in no more."""
    guard = await guards.start(bound=BOUND)
    pair = await parts.open(USER)
    assert await settled(guard, pair.access_token) == "accepted"
    with keys.client() as client, client.pipeline() as both:
        both.delete(bucket(USER).issuer)
        both.xadd(bucket(USER).issuer, {"iss": THEIRS})
        both.execute()
        await becomes(guard, pair, "unavailable")
        await log_out(parts, pair)
        client.delete(bucket(USER).issuer)
    await becomes(guard, pair, "refused")
    assert guard.counters.feed_losses == 0


async def test_serve_goes_by_what_is_known(parts: Parts, guards: Guards, keys: RedisServer) -> None:
    """With `serve`, a feed without a mark is lost as any other: told, counted, and served."""
    guard = await guards.start(bound=BOUND, when_lost="serve")
    pair = await parts.open(USER)
    with keys.client() as client, client.pipeline() as both:
        for number in range(64):
            both.delete(numbered(number).issuer)
            both.xadd(numbered(number).issuer, {"iss": THEIRS})
        both.execute()

    await eventually(lambda: lost(guard))
    assert await settled(guard, pair.access_token) == "accepted"
    assert guard.counters.served_stale >= 1


async def test_a_mark_is_told_once_a_minute(
    guards: Guards, parts: Parts, keys: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """However often it is looked at, and a hostile one neither fills nor splits the log."""
    hostile = "x\r\n" + "y" * 100_000

    def said() -> list[str]:
        return [r.getMessage() for r in caplog.records if "issuer" in r.getMessage()]

    with keys.client() as client, client.pipeline() as both:
        for number in range(64):
            both.delete(numbered(number).issuer)
            both.xadd(numbered(number).issuer, {"iss": hostile})
        both.execute()
    with caplog.at_level(logging.WARNING):
        guard = await guards.start(bound=timedelta(seconds=0.2))
        await eventually(lambda: asyncio.sleep(0, said()))
        for _ in range(10):
            assert await verdict(guard, (await parts.open()).access_token) == "unavailable"
            await asyncio.sleep(0.05)
    (told,) = said()
    assert len(told) < 600
    assert "\n" not in told
