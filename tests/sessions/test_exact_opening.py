"""What opening a session writes: byte by byte, and each bound to the millisecond."""

from typing import Any

import pytest
from tools.testbed.redis_server import RedisServer

from service.redis.preamble import Bounds
from tests.sessions.scripted import (
    CLOCKS,
    HOUR,
    INDEX,
    NAMES,
    SPARE,
    Scripted,
    digest,
    key,
    record,
    sid,
    told,
)
from tests.support.looking import ON_VALKEY
from tests.support.script_clock import ScriptClock

pytestmark = ON_VALKEY

MOST = 2**40 - 1
"""The longest life that fits into a record."""


async def test_what_is_written(scripted: Scripted, keys: RedisServer) -> None:
    """Record, life, index and event; no life is longer than what fits into a record."""
    now = scripted.clock.now
    expected = record(0, now, 0, 3, life=MOST)
    outcome = await scripted.open(
        1, absolute_life=MOST + 6, authentication=b"\3", event="user.signedUp"
    )
    assert outcome == [b"opened", expected, now + HOUR]
    with keys.client() as client:
        assert client.get(key(1)) == expected
        assert client.hgetall(INDEX) == {sid(1): digest(1)}
        assert client.pexpiretime(key(1)) == now + HOUR
        assert client.pexpiretime(INDEX) == now + HOUR + SPARE
    assert told(keys) == [{"type": "user.signedUp", "session": sid(1).hex()}]


@pytest.mark.parametrize(("absolute", "ends"), [(HOUR - 1, HOUR - 1), (HOUR + 1, HOUR)])
async def test_the_shorter_life_counts(scripted: Scripted, absolute: int, ends: int) -> None:
    """That since the last refresh, or that since it was opened, which the record keeps."""
    now = scripted.clock.now
    expected = [b"opened", record(0, now, 0, life=absolute), now + ends]
    assert await scripted.open(1, absolute_life=absolute) == expected


@pytest.mark.parametrize(
    ("life", "clock", "valid_until", "outcome"),
    [(*case, b"opened" if signs else b"clock") for *case, signs in CLOCKS],
)
async def test_a_clock_of_a_process(
    scripted: Scripted, keys: RedisServer, life: int, clock: int, valid_until: int, outcome: bytes
) -> None:
    """It sees a session that lives, and Redis an access token that is valid, for 1 ms at least; it
    is less than a minute off."""
    now = scripted.clock.now
    opened = await scripted.open(
        1, idle_life=life, clock=now + clock, valid_until=now + valid_until
    )
    assert opened[0] == outcome
    with keys.client() as client:
        assert client.exists(key(1), INDEX) == (2 if outcome == b"opened" else 0)


async def test_sessions_as_old_as_each_other(scripted: Scripted, keys: RedisServer) -> None:
    """Of those that were opened in the same millisecond one goes, whichever."""
    for number in range(12):
        await scripted.open(number)
    assert (await scripted.open(12, most=12))[0] == b"opened"
    rows = told(keys)
    ended = [row["session"] for row in rows if row["type"] == "session.revoked"]
    assert rows[12] == {"type": "session.revoked", "session": ended[0], "reason": "limit"}
    with keys.client() as client:
        [(_, entry)] = client.xrange(NAMES.revoked)
        assert ended == [entry[b"s"].hex()]
        left = {sid(number) for number in range(13)} - {entry[b"s"]}
        assert set(client.hkeys(INDEX)) == left


async def test_a_lower_limit_than_before(scripted: Scripted, keys: RedisServer) -> None:
    """As many of the oldest go as are too many, the oldest first; expired ones are forgotten."""
    for number in range(7):
        scripted.clock.move(number)
        await scripted.open(number)
    with keys.client() as client:
        client.delete(key(1), key(5))
        await scripted.open(7, most=3)
        assert set(client.hkeys(INDEX)) == {sid(number) for number in (4, 6, 7)}
        ended = [entry[b"s"] for _, entry in client.xrange(NAMES.revoked)]
    assert ended == [sid(number) for number in (0, 2, 3)]


@pytest.mark.parametrize(("before", "left"), [(99, 100), (100, 69)])
async def test_events_are_dropped_beyond_the_limit(
    keys: RedisServer, before: int, left: int
) -> None:
    """A full stream stays whole; one too many, and 31 of a flood go with it."""
    clock = ScriptClock(keys, Bounds(events=100))
    entry: dict[Any, Any] = {"type": "x", "user": "f" * 32, "ip": "", "request": ""}
    with keys.client() as client, client.pipeline() as pipeline:
        for _ in range(before):
            pipeline.xadd(NAMES.events, entry)
        pipeline.execute()
        await Scripted(clock).open(1)
        assert client.xlen(NAMES.events) == left
    await clock.aclose()


async def test_a_second_session_keeps_the_index(scripted: Scripted, keys: RedisServer) -> None:
    """It lives longer than the longest: what ends before it moves nothing, what is longer does."""
    now = scripted.clock.now
    with keys.client() as client:
        longer = HOUR + SPARE + 1
        lives = [
            (HOUR, HOUR + SPARE), (HOUR - 1, HOUR + SPARE), (HOUR + SPARE, HOUR + SPARE),
            (longer, longer + longer // 128),
        ]  # fmt: skip
        for number, (idle, ends) in enumerate(lives):
            await scripted.open(number, idle_life=idle)
            assert client.pexpiretime(INDEX) == now + ends
            assert client.pexpiretime(key(number)) == now + idle


async def test_events_are_dropped_while_the_clock_is_behind(keys: RedisServer) -> None:
    """All come in one millisecond then, which need not be one in which they are counted."""
    clock = ScriptClock(keys, Bounds(events=1000))
    scripted = Scripted(clock)
    entry: dict[Any, Any] = {"type": "x", "user": "f" * 32, "ip": "", "request": ""}
    with keys.client() as client, client.pipeline() as pipeline:
        pipeline.xadd(NAMES.events, entry, id=f"{2**45 + 1 - 2**45 % 10}-0")
        for _ in range(1100):
            pipeline.xadd(NAMES.events, entry)
        pipeline.execute()
        for number in range(1, 101):
            await scripted.open(number, most=200)
        assert client.xlen(NAMES.events) <= 1100
    await clock.aclose()


@pytest.mark.parametrize(
    ("noted", "read", "outcome", "after"),
    [
        (None, "0", b"opened", None),
        (None, "3", b"opened", b"3"),
        (None, "", b"opened", None),
        (b"3", "3", b"opened", b"3"),
        (b"3", "", b"opened", b"3"),
        (b"3", "4", b"changed", b"3"),
        (b"?1 3 5", "3", b"changed", b"?1 3 5"),
        (b"?1 3 5", "", b"opened", b"?1 3 5"),
    ],
)
async def test_the_version_of_the_user_row(
    scripted: Scripted,
    keys: RedisServer,
    noted: bytes | None,
    read: str,
    outcome: bytes,
    after: bytes | None,
) -> None:
    """Refused where another is noted; noted where none is, unless it is that of a new row."""
    with keys.client() as client:
        if noted is not None:
            client.hset(INDEX, "v", noted)
            client.pexpire(INDEX, HOUR)
        opened = await scripted.open(1, read=read)
        assert opened[0] == outcome
        assert outcome == b"opened" or opened[1] == noted
        assert client.hget(INDEX, "v") == after
        assert client.exists(key(1)) == (outcome == b"opened")
