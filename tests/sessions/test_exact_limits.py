"""The limit on rotations and on logouts from everywhere: to the millisecond, and what it writes."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tools.testbed.redis_server import RedisServer

from service.rates import Rate
from service.redis.preamble import Bounds
from tests.sessions.scripted import DAY, NAMES, USER, Scripted, sid, told
from tests.support.looking import ON_VALKEY
from tests.support.script_clock import ScriptClock

pytestmark = ON_VALKEY

WINDOW = 600_000
EVERYWHERE = NAMES.attempts + b"logout-all:" + USER.hex().encode()
ROTATIONS = NAMES.attempts + b"refresh:" + sid(1)


@pytest.fixture
async def limited(keys: RedisServer) -> AsyncIterator[Scripted]:
    """Three calls in ten minutes."""
    clock = ScriptClock(keys, Bounds(calls=Rate(3, timedelta(milliseconds=WINDOW))))
    yield Scripted(clock)
    await clock.aclose()


def times(limited: Scripted, server: RedisServer, key: bytes) -> list[int]:
    """When the calls were that are listed. The list lives for the window, counted from now."""
    with server.client() as client:
        found = [int(each) for each in client.lrange(key, 0, -1)]
        if found:
            assert limited.clock.gave(WINDOW, client, key)
    return found


async def test_logging_out_everywhere(limited: Scripted, keys: RedisServer) -> None:
    """Three, then none until the first of them is ten minutes ago, and then one at a time."""
    start = limited.clock.now
    await limited.open(1)
    for at in (0, 10, 25):
        limited.clock.move(at)
        assert await limited.revoke_all(1, keep_own=True) == 0
    listed = [start, start + 10, start + 25]
    assert times(limited, keys, EVERYWHERE) == listed
    for at, wait in ((25, WINDOW - 25), (WINDOW - 1, 1), (-5, WINDOW)):
        limited.clock.move(at)
        assert await limited.revoke_all(1, keep_own=False) == [wait]
    assert times(limited, keys, EVERYWHERE) == listed, "a refused one does not count"
    limited.clock.move(WINDOW)
    assert await limited.revoke_all(1, keep_own=True) == 0
    assert times(limited, keys, EVERYWHERE) == [*listed[1:], start + WINDOW]
    assert await limited.revoke_all(1, keep_own=True) == [10]


async def test_rotations(limited: Scripted, keys: RedisServer) -> None:
    """The same; neither opening a session nor a handoff counts, nor one that is refused."""
    start = limited.clock.now
    await limited.open(1)
    for generation, at in enumerate((10, 20, 30)):
        limited.clock.move(at)
        assert (await limited.rotate(1, generation))[0] == b"rotated"
        assert (await limited.rotate(1, generation))[0] == b"handoff"
    listed = [start + 10, start + 20, start + 30]
    assert times(limited, keys, ROTATIONS) == listed
    before = told(keys)
    limited.clock.move(WINDOW + 9)
    assert await limited.rotate(1, 3) == [b"limited", 1]
    assert (told(keys), times(limited, keys, ROTATIONS)) == (before, listed)
    limited.clock.move(WINDOW + 10)
    assert (await limited.rotate(1, 3))[0] == b"rotated"
    assert times(limited, keys, ROTATIONS) == [*listed[1:], start + WINDOW + 10]


@pytest.mark.parametrize(("rest", "counts"), [(WINDOW - 1, True), (WINDOW, False)])
async def test_after_a_rest(limited: Scripted, keys: RedisServer, rest: int, counts: bool) -> None:
    """Of ten minutes nothing is written. Of less, the rotation in the record counts."""
    start = limited.clock.now
    await limited.open(1)
    limited.clock.move(rest)
    await limited.rotate(1, 0)
    assert times(limited, keys, ROTATIONS) == [start + rest] * counts
    with keys.client() as client:
        client.delete(ROTATIONS)
    limited.clock.move(2 * rest)
    await limited.rotate(1, 1)
    assert times(limited, keys, ROTATIONS) == [start + rest, start + 2 * rest] * counts
    limited.clock.move(2 * rest + 1)
    await limited.rotate(1, 2)
    expected = [start + rest, start + 2 * rest] if counts else [start + 2 * rest]
    assert times(limited, keys, ROTATIONS) == [*expected, start + 2 * rest + 1]


async def test_after_the_clock_was_put_back(limited: Scripted, keys: RedisServer) -> None:
    """What is in the future counts for ten minutes from now, no longer."""
    await limited.open(1)
    for generation in range(3):
        await limited.rotate(1, generation)
    limited.clock.move(-DAY)
    assert await limited.rotate(1, 3) == [b"limited", WINDOW]
