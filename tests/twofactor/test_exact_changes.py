"""What a change of the user row writes: the version, the proofs of sessions, and what is told."""

import pytest
from tools.testbed.redis_server import RedisServer

from service.errors import UnknownLayout
from service.redis import keys as names
from tests.support.keys import session_prefix
from tests.support.looking import ON_VALKEY
from tests.support.script_clock import ScriptClock
from tests.twofactor.scripted import (
    ENROLMENT,
    HOUR,
    INDEX,
    MINUTE,
    PENDING,
    STEP,
    USER,
    complete,
    confirm,
    pending,
    publish,
    spend,
    told,
)

pytestmark = ON_VALKEY


async def test_completing(clock: ScriptClock, keys: RedisServer) -> None:
    """It is consumed, and told once: by who consumes it, or whose version is news."""
    with keys.client() as client:
        client.set(PENDING, pending(0, 0), px=MINUTE)
        await complete(clock, 5)
        assert not client.exists(PENDING, INDEX)
        assert told(keys) == ["twoFA.enabled"], "nobody is signed in"
        client.hset(INDEX, "v", 5)
        client.pexpire(INDEX, HOUR)
        for version, others, count in (
            (5, None, 1),
            (4, pending(0, 0, ENROLMENT[:15] + b"x"), 1),
            (5, pending(0, 0) + b"+", 1),
            (6, pending(0, 0, b"x" + ENROLMENT[1:]), 2),
            (6, pending(0, 0), 3),
        ):
            client.delete(PENDING)
            if others:
                client.set(PENDING, others, px=MINUTE)
            await complete(clock, version)
            assert told(keys) == ["twoFA.enabled"] * count
            assert client.get(PENDING) == (None if count == 3 else others)
        assert client.hget(INDEX, "v") == b"6"
        client.delete(INDEX)
        await complete(clock, 7)
        assert told(keys) == ["twoFA.enabled"] * 3, "without an index nothing is news"


async def test_the_version_of_the_row(clock: ScriptClock, keys: RedisServer) -> None:
    """Announced and published: count, highest and beginning, each as row_version.py has it."""
    start = clock.now
    longest = names.LONGEST_CHANGE.seconds * 1000
    with keys.client() as client:
        for noted, moved, after in (
            (None, 0, b"?1 0 %d" % start),
            (b"7", 0, b"?1 7 %d" % start),
            (b"?1 7 %d" % (start - longest), 0, b"?2 7 %d" % start),
            (b"?1 7 %d" % (start - longest - 1), 0, b"?1 7 %d" % start),
            (b"?2 7 %d" % start, 5, b"?3 7 %d" % (start + 5)),
        ):
            client.delete(INDEX)
            if noted:
                client.hset(INDEX, "v", noted)
            clock.move(moved)
            await spend(clock, "")
            assert client.hget(INDEX, "v") == after
            assert clock.gave(longest, client, INDEX)
        clock.move(0)
        for noted, version, after in (
            (b"7", 9, b"9"),
            (b"9", 7, b"9"),
            (b"?1 7 %d" % start, 9, b"9"),
            (b"?2 7 %d" % start, 9, b"?1 9 %d" % start),
            (b"?3 9 %d" % (start - 3), 7, b"?2 9 %d" % (start - 3)),
            (b"?3 7 %d" % (start - longest), 9, b"?2 9 %d" % (start - longest)),
            (b"?3 7 %d" % (start - longest - 1), 9, b"9"),
            (b"?3 7 %d" % start, "", b"?3 7 %d" % start),
        ):
            client.hset(INDEX, "v", noted)
            await publish(clock, version)
            assert client.hget(INDEX, "v") == after
        before = len(told(keys))
        client.hset(INDEX, "v", "x")
        for call in (spend(clock, ""), publish(clock, 1), complete(clock, 1)):
            with pytest.raises(UnknownLayout):
                await call
        assert client.hget(INDEX, "v") == b"x"
        client.delete(INDEX)
        await publish(clock, 1)
        assert not client.exists(INDEX)
        assert told(keys)[before:] == ["twoFA.x"]


async def test_an_index_that_lives_longer(clock: ScriptClock, keys: RedisServer) -> None:
    """A change that is announced shortens no life."""
    with keys.client() as client:
        client.hset(INDEX, "w", "x")
        client.pexpireat(INDEX, clock.now + HOUR)
        await spend(clock, "")
        assert client.pexpiretime(INDEX) == clock.now + HOUR


def record(proof: int, address: bytes, rest: bytes = b"") -> bytes:
    return b"\1" + bytes(range(20)) + bytes((proof, len(address))) + address + rest


@pytest.mark.parametrize("how", ["disabled", "confirmed"])
async def test_proofs_are_forgotten(clock: ScriptClock, keys: RedisServer, how: str) -> None:
    """The bits of a second factor, of each session that can be read; nothing else of any."""
    cases = [
        (record(0b111, b"", b"agent"), record(0b001, b"", b"agent")),
        (record(0b10101_011, b"abcd", b"a"), record(0b10101_001, b"abcd", b"a")),
        (record(0b11111_100, bytes(16)), record(0b11111_000, bytes(16))),
        (record(0b110, b"abcd"), record(0b000, b"abcd")),
        (record(0b001, b""), record(0b001, b"")),
        (b"\2" + record(7, b"")[1:], b"\2" + record(7, b"")[1:]),
        (record(7, b"abcd")[:-1], record(7, b"abcd")[:-1]),
        (record(7, bytes(16))[:-1], record(7, bytes(16))[:-1]),
        (record(7, b"")[:-1], record(7, b"")[:-1]),
        (record(7, b"")[:-2], record(7, b"")[:-2]),
        (b"", b""),
    ]
    with keys.client() as client:
        for number, (before, _) in enumerate(cases):
            client.hset(INDEX, b"%012d" % number, b"%016d" % number)
            client.set(session_prefix(USER) + b"%016d" % number, before, pxat=clock.now + HOUR)
        client.hset(INDEX, mapping={"w": "other", b"x" * 12: b"expired"})
        client.set(session_prefix(USER) + b"other", record(7, b""), px=HOUR)
        client.pexpire(INDEX, HOUR)
        if how == "disabled":
            await publish(clock, "", "twoFA.recoveryCodeUsed")
            stored = client.get(session_prefix(USER) + b"%016d" % 0)
            assert stored == cases[0][0], "by no other event"
            await publish(clock, "", "twoFA.disabled")
        else:
            client.set(PENDING, pending(0, 0), px=MINUTE)
            assert await confirm(clock, "") == b"wrong"
            assert client.get(session_prefix(USER) + b"%016d" % 0) == cases[0][0]
            assert await confirm(clock, clock.now // STEP) == b"accepted"
        for number, (_, after) in enumerate(cases):
            key = session_prefix(USER) + b"%016d" % number
            assert client.get(key) == after, number
            assert client.pexpiretime(key) == clock.now + HOUR
        assert client.get(session_prefix(USER) + b"other") == record(7, b"")
        if how == "confirmed":
            client.set(session_prefix(USER) + b"%016d" % 0, cases[0][0], px=HOUR)
            assert await confirm(clock, clock.now // STEP) == b"accepted"
            assert client.get(session_prefix(USER) + b"%016d" % 0) == cases[0][0], "once"
