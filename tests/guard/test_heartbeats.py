"""A guard that sees no heartbeat any more is lost; where none are written, none are demanded."""

import asyncio
from contextlib import suppress

from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import eventually

from service.redis.client import RedisClient
from service.redis.heartbeats import Heartbeats, needed_acknowledgements
from service.redis.keys import numbered
from tests.guard.feed_writer import FeedWriter, new_token
from tests.guard.guards import Guards, says, verdict
from tests.support.looking import ON_VALKEY

BEAT = numbered(0).beat


@ON_VALKEY
async def test_a_guard_without_heartbeats_is_lost(
    feed: FeedWriter, guards: Guards, keys: RedisServer
) -> None:
    """For the bound: however whole the feed is, and however well its server answers."""
    token = new_token()
    with keys.client() as client:

        async def beat() -> None:
            while True:
                client.xadd(BEAT, {"every": 100}, maxlen=1, approximate=False)
                await asyncio.sleep(0.1)

        beating = asyncio.create_task(beat())
        guard = await guards.start(bound=2.5)
        for _ in range(10):
            assert await verdict(guard, token) == "accepted"
            await asyncio.sleep(0.1)
        beating.cancel()
        await eventually(lambda: says(guard, token, "unavailable"))
        late = await guards.start(bound=2.5)
        await eventually(lambda: says(late, token, "unavailable"))
        beating = asyncio.create_task(beat())
        await eventually(lambda: says(guard, token, "accepted"))
        beating.cancel()
        await eventually(lambda: says(guard, token, "unavailable"))
        client.delete(BEAT)
        await eventually(lambda: says(guard, token, "accepted"))


@ON_VALKEY
async def test_none_without_the_acknowledgement_of_replicas(keys: RedisServer) -> None:
    """A server on its own has no majority of two."""
    redis = RedisClient(keys.url, min_replicas=1)
    with keys.client() as client:
        await Heartbeats(redis, on=True).look()
        assert not client.exists(BEAT)
    await redis.aclose()


@ON_VALKEY
async def test_one_a_second_however_many_write(keys: RedisServer) -> None:
    """And those of before go where they are off."""
    redis = RedisClient(keys.url)
    with keys.client() as client:
        for _ in range(3):
            await Heartbeats(redis, on=True).look()
        assert client.xinfo_stream(BEAT)["entries-added"] == 1
        off = asyncio.create_task(Heartbeats(redis, on=False).run())

        async def gone() -> bool:
            return not client.exists(BEAT)

        await eventually(gone)
        off.cancel()
        with suppress(asyncio.CancelledError):
            await off
    await redis.aclose()


def test_a_majority_of_the_servers() -> None:
    """With the primary."""
    assert [needed_acknowledgements(replicas) for replicas in range(6)] == [0, 1, 1, 2, 2, 3]
