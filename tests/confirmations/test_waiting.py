"""Whoever waits for guards that do not answer keeps Redis from nothing else."""

import asyncio
import time
from collections.abc import Collection

from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import RedisServer

from service.confirmations.guard_positions import GuardPositions
from service.confirmations.waiting import Confirmation, Confirmations, usual_after
from service.redis.client import RedisClient
from service.redis.guard_position import NOTHING, About
from service.redis.keys import BUCKETS, GUARD_LIFE, numbered
from tests.support.guard_reports import pack
from tests.support.looking import ON_VALKEY

NAMES = numbered(0)


class TimedPositions(GuardPositions):
    """Takes longer, as with very many guards, and notes how long it was asked in all."""

    busy = 0.0

    async def positions(self, buckets: Collection[int]) -> list[bytes]:
        began = time.monotonic()
        found = await super().positions(buckets)
        await asyncio.sleep(0.01)
        self.busy += time.monotonic() - began
        return found


@ON_VALKEY
async def test_many_who_wait_look_for_a_part_of_the_time_only(keys: RedisServer) -> None:
    """All of them are told, each of their own bucket."""
    redis = RedisClient(keys.url, timing=PATIENTLY)
    with keys.client() as client:
        client.xadd(numbered(7).revoked, {"n": 1, "s": b"s" * 12})
        client.set(NAMES.guard + b"lost", pack([NOTHING] * BUCKETS, About()), px=GUARD_LIFE)
        client.hset(NAMES.guards, b"lost", b"")
    positions = TimedPositions(redis)
    confirmations, began = Confirmations(positions), time.monotonic()

    async def wait(number: int) -> Confirmation | None:
        await asyncio.sleep(number / 200)
        return await confirmations.wait(bytes([number]) * 16, b"s" * 12, 2.0)

    told = await asyncio.gather(*map(wait, range(40)))
    elapsed = time.monotonic() - began
    await redis.aclose()
    assert all(it is not None and it.guards == 1 for it in told)
    assert 0 < positions.busy < elapsed / 3


def test_one_slow_answer_does_not_hold_up_the_next() -> None:
    """Its time is not waited for again; what has become slower is the rule soon, up to 50 ms."""
    assert usual_after(0.004, 0.003) == 0.003
    assert usual_after(0.004, 0.040) == 0.005
    usual = 0.001
    for _ in range(20):
        usual = usual_after(usual, 0.020)
    assert usual == 0.020
    for _ in range(20):
        usual = usual_after(usual, 5.0)
    assert usual == 0.05
