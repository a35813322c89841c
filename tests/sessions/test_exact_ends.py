"""What ending sessions writes, in each script that does: index, feed and events, field by field."""

from typing import Any

import pytest
from tools.testbed.redis_server import RedisServer

from service.redis.preamble import Bounds
from tests.sessions.scripted import FEED_LIFE, INDEX, NAMES, USER, Scripted, digest, key, sid, told
from tests.support.looking import ON_VALKEY, session_keys
from tests.support.script_clock import ScriptClock

pytestmark = ON_VALKEY


def feed(server: RedisServer) -> list[tuple[int, bytes]]:
    with server.client() as client:
        entries = client.xrange(NAMES.revoked)
    return [(int(entry[b"n"]), entry[b"s"]) for _, entry in entries]


def cut_offs(server: RedisServer) -> list[tuple[int, bytes, int, *tuple[bytes, ...]]]:
    """The feed of cut-offs: number, user, time, and the ids that are kept, if any."""
    with server.client() as client:
        entries = client.xrange(NAMES.revoked)
    return [
        (int(entry.pop(b"n")), entry.pop(b"u"), int(entry.pop(b"t")), *entry.values())
        for _, entry in entries
    ]


def index(server: RedisServer) -> set[bytes]:
    with server.client() as client:
        return set(client.hkeys(INDEX))


async def opened(scripted: Scripted, count: int) -> None:
    """Sessions 1 to `count`, and a handoff of each."""
    for number in range(1, count + 1):
        await scripted.open(number)
        await scripted.rotate(number, 0)


def left(server: RedisServer) -> set[bytes]:
    """Sessions and handoffs that are left, of what begins with a session's id."""
    with server.client() as client:
        handoffs = {each.rpartition(b":")[2] for each in client.scan_iter(b"handoff:*")}
    records = {each.rpartition(b":")[2][:12] for each in session_keys(server)}
    assert records == handoffs
    return records


@pytest.mark.parametrize("generation", [None, 0, 1], ids=["no token", "spent", "valid"])
async def test_logging_out(scripted: Scripted, keys: RedisServer, generation: int | None) -> None:
    """Says 1 once, and 0 of one that has ended, expired or never was, with nothing written."""

    async def end(number: int) -> int:
        presented = b"" if generation is None else digest(number, generation)
        ended: int = await scripted.end(number, presented)
        return ended

    await opened(scripted, 3)
    before = len(told(keys))
    assert [await end(number) for number in (2, 2, 4)] == [1, 0, 0]
    assert index(keys) == left(keys) == {sid(1), sid(3)}
    with keys.client() as client:
        client.delete(key(3, 1))
    assert await end(3) == 0
    assert index(keys) == left(keys) == {sid(1)}, "an expired one is forgotten"
    assert told(keys)[before:] == [{"type": "user.loggedOut", "session": sid(2).hex()}]
    assert feed(keys) == [(1, sid(2))]


async def test_ending_one(scripted: Scripted, keys: RedisServer) -> None:
    """Says by whom; nothing of one that does not live, nor for a caller who has ended."""
    await opened(scripted, 3)
    before = len(told(keys))
    outcomes = [await scripted.revoke(1, number) for number in (2, 2, 4)]
    assert outcomes == [b"revoked", b"unknown", b"unknown"]
    assert await scripted.revoke(2, 1) == b"unauthenticated"
    assert index(keys) == left(keys) == {sid(1), sid(3)}
    event = {"type": "session.revoked", "session": sid(2).hex(), "reason": "user"}
    assert told(keys)[before:] == [event | {"by": sid(1).hex()}]
    assert feed(keys) == [(1, sid(2))]


async def test_a_record_that_nothing_finds(scripted: Scripted, keys: RedisServer) -> None:
    """Is no session, though its own token is shown: a cut-off of many leaves it as it was."""
    await opened(scripted, 2)
    before = len(told(keys))
    with keys.client() as client:
        client.hdel(INDEX, sid(2))
    assert await scripted.end(2, digest(2, 1)) == 0
    assert index(keys) == {sid(1)}
    assert told(keys)[before:] == []
    assert feed(keys) == []


@pytest.mark.parametrize("keep_own", [True, False])
async def test_ending_all(scripted: Scripted, keys: RedisServer, keep_own: bool) -> None:
    """All others, or all; both that have expired are forgotten, and what is no session stays."""
    await opened(scripted, 5)
    with keys.client() as client:
        client.hset(INDEX, "w", "x")
        for number in (2, 4):
            client.delete(key(number, 1), *client.scan_iter(b"handoff:*" + sid(number)))
    before = len(told(keys))
    assert await scripted.revoke_all(2, keep_own=keep_own) == -1
    ended = {3, 5} if keep_own else {1, 3, 5}
    assert await scripted.revoke_all(1, keep_own=keep_own) == len(ended)
    assert index(keys) == {b"w", b"c"} | ({sid(1)} if keep_own else set())
    assert left(keys) == ({sid(1)} if keep_own else set())
    event = {"type": "user.sessionsEnded", "reason": "all", "by": sid(1).hex()}
    assert told(keys)[before:] == [event | {"count": str(len(ended))}]
    [(number, user, at, *kept)] = cut_offs(keys)
    assert (number, user, kept) == (1, USER, [sid(1)] if keep_own else [])
    assert at >= scripted.clock.now
    assert await scripted.revoke_all(1, keep_own=True) == (0 if keep_own else -1)
    assert len(cut_offs(keys)) == 1
    assert len(told(keys)) == before + 1, "what ends nothing writes nothing"


@pytest.mark.parametrize("how", ["end", "revoke"])
async def test_the_feed_is_trimmed(scripted: Scripted, keys: RedisServer, how: str) -> None:
    """With each 64th end: to the newest entry that matters no more, and what came after it."""
    for number in range(1, 5):
        await scripted.open(number)
    over = scripted.clock.now - FEED_LIFE
    with keys.client() as client:
        for at in (over - 9, over - 1, over, over + 1, over + 2):
            client.xadd(NAMES.revoked, {"n": at, "s": b"x"}, id=f"{at}-3")
        for number, trimmed in ((62, False), (64, False), (63, True)):
            client.set(NAMES.revocations, number)
            ended = 2 + (number == 64) + 2 * (number == 63)
            await (scripted.end(ended) if how == "end" else scripted.revoke(1, ended))
            kept = [int(entry[b"n"]) for _, entry in client.xrange(NAMES.revoked)][:3]
            oldest = over - 9 if not trimmed else over
            assert kept[0] == oldest
        assert kept == [over, over + 1, over + 2]


@pytest.mark.parametrize("how", ["end", "revoke"])
async def test_a_feed_of_which_all_matters(scripted: Scripted, keys: RedisServer, how: str) -> None:
    """Nothing goes, down to the first millisecond that counts."""
    await scripted.open(1)
    await scripted.open(2)
    counts = scripted.clock.now - FEED_LIFE + 1
    with keys.client() as client:
        client.xadd(NAMES.revoked, {"n": 63, "s": b"x"}, id=f"{counts}-0")
        client.set(NAMES.revocations, 63)
        await (scripted.end(2) if how == "end" else scripted.revoke(1, 2))
    assert feed(keys) == [(63, b"x"), (64, sid(2))]


@pytest.mark.parametrize(
    ("number", "before", "kept"), [(63, 99, 100), (63, 100, 69), (62, 100, 101)]
)
async def test_logouts_trim_the_events(
    keys: RedisServer, number: int, before: int, kept: int
) -> None:
    """With each 64th, and only beyond the limit: by one too many, and 31 of a flood with it."""
    clock = ScriptClock(keys, Bounds(events=100))
    scripted = Scripted(clock)
    await scripted.open(1)
    entry: dict[Any, Any] = {"type": "x", "user": "f" * 32, "ip": "", "request": ""}
    with keys.client() as client, client.pipeline() as pipeline:
        for _ in range(before - 1):
            pipeline.xadd(NAMES.events, entry)
        pipeline.set(NAMES.revocations, number)
        pipeline.execute()
        await scripted.end(1)
        assert client.xlen(NAMES.events) == kept
    await clock.aclose()
