"""What judging a code writes: byte by byte, and each bound to the millisecond."""

import pytest
from tools.testbed.redis_server import RedisServer

from service.errors import ClockWrong, UnknownLayout
from tests.support.looking import ON_VALKEY
from tests.support.script_clock import ScriptClock
from tests.twofactor.scripted import (
    CALLS,
    CHALLENGE,
    ENROLMENT,
    HOUR,
    INDEX,
    LIFE,
    MINUTE,
    NAMES,
    PENDING,
    STEP,
    WATERMARK,
    answer,
    begin,
    challenge,
    confirm,
    pending,
    spend,
    told,
)

pytestmark = ON_VALKEY


async def test_beginning(clock: ScriptClock, keys: RedisServer) -> None:
    """It replaces the one before, tries and all, and says when it expires."""
    with keys.client() as client:
        client.set(PENDING, pending(4, 9, b"another enrolment"[:16]), px=MINUTE)
        expires = await begin(clock)
        assert client.get(PENDING) == pending(0, 0)
        assert client.pexpiretime(PENDING) == expires
        assert clock.gave(HOUR, client, PENDING)
        assert told(keys) == ["twoFA.enrollmentStarted"]
        client.set(PENDING, pending(0, 0)[:-1], px=MINUTE)
        with pytest.raises(UnknownLayout):
            await begin(clock)
        assert client.get(PENDING) == pending(0, 0)[:-1]


async def test_beginning_too_often(clock: ScriptClock, keys: RedisServer) -> None:
    """Past the limit nothing changes, and it says when the oldest call will not count any more."""
    with keys.client() as client:
        assert [isinstance(await begin(clock, most=2), int) for _ in range(2)] == [True, True]
        clock.move(MINUTE)
        client.delete(PENDING)
        assert await begin(clock, most=2) == [b"wait", HOUR - MINUTE]
        assert not client.exists(PENDING)
        assert client.llen(CALLS) == 2
        clock.move(HOUR)
        assert isinstance(await begin(clock, most=2), int)
        assert client.llen(CALLS) == 1
        assert clock.gave(HOUR, client, CALLS)


@pytest.mark.parametrize("since", [0, 7, 8])
async def test_beginning_by_a_session(clock: ScriptClock, keys: RedisServer, since: int) -> None:
    """It must live, and have been opened by a row that counts; else nothing changes."""
    session, digest = b"s" * 12, b"d" * 16
    record = bytes((2,)) + bytes(20) + b"\1" + bytes(5) + (7).to_bytes(7) + bytes(2)
    key = b"session:" + NAMES.tag + digest
    with keys.client() as client:
        assert await begin(clock, caller=session, since=since) == [b"ended"]
        client.hset(INDEX, session, digest)
        assert await begin(clock, caller=session, since=since) == [b"ended"], "no record"
        client.set(key, record)
        begun = await begin(clock, caller=session, since=since)
        assert begun == ([b"ended"] if since > 7 else client.pexpiretime(PENDING))
        assert bool(client.exists(PENDING)) is (since <= 7)
        client.delete(PENDING)
        for name, value in (("v", b"none of ours"), ("v", b"-1")):
            client.hset(INDEX, name, value)
            with pytest.raises(UnknownLayout):
                await begin(clock, caller=session, since=since)
        client.hset(INDEX, "v", b"?1 2 3")
        client.set(key, b"\3" + record[1:])
        with pytest.raises(UnknownLayout):
            await begin(clock, caller=session, since=since)
        assert not client.exists(PENDING)
        assert not client.exists(NAMES.events) or since <= 7
        client.delete(INDEX, key)


async def test_confirming(clock: ScriptClock, keys: RedisServer) -> None:
    """Wrong codes count, the fifth ends it; a right one is noted and may be repeated, no other."""
    step = clock.now // STEP
    with keys.client() as client:
        assert await confirm(clock, step) == b"gone"
        client.set(PENDING, pending(0, 0), pxat=clock.now + MINUTE)
        for tries in (1, 2, 3):
            assert await confirm(clock, "") == b"wrong"
            assert client.get(PENDING) == pending(tries, 0)
        assert not client.exists(INDEX, WATERMARK)
        for _ in range(2):
            assert await confirm(clock, step) == b"accepted"
            assert client.get(PENDING) == pending(3, step)
        assert client.hgetall(INDEX) == {b"v": b"?2 0 %d" % clock.now}
        assert client.get(WATERMARK) == b"%d" % step
        assert await confirm(clock, step - 1) == b"wrong"
        assert client.get(PENDING) == pending(4, step)
        assert client.pexpiretime(PENDING) == clock.now + MINUTE
        client.set(PENDING, pending(4, step, b"another enrolment"[:16]), keepttl=True)
        assert await confirm(clock, step) == b"gone"
        client.set(PENDING, pending(4, step, ENROLMENT[:15] + b"x"), keepttl=True)
        assert await confirm(clock, step) == b"gone"
        client.set(PENDING, pending(4, step), keepttl=True)
        assert await confirm(clock, "") == b"wrong"
        assert not client.exists(PENDING)
        client.set(PENDING, pending(0, 0) + b"+", px=MINUTE)
        with pytest.raises(UnknownLayout):
            await confirm(clock, step)


async def test_answering(clock: ScriptClock, keys: RedisServer) -> None:
    """Four wrong answers are counted, the fifth ends it; none moves its end; each is told."""
    step = clock.now // STEP
    with keys.client() as client:
        assert await answer(clock, "wrong") == b"gone"
        client.set(CHALLENGE, challenge(0), pxat=clock.now + MINUTE)
        client.set(WATERMARK, step, px=MINUTE)
        wrong: list[tuple[str, int | str]] = [
            ("wrong", ""), ("totp", step), ("totp", step - 1), ("wrong", step + 1)
        ]  # fmt: skip
        for tries, (how, used) in enumerate(wrong, 1):
            assert await answer(clock, how, used) == b"wrong"
            assert client.get(CHALLENGE) == challenge(tries)
            assert client.pexpiretime(CHALLENGE) == clock.now + MINUTE
        assert client.get(WATERMARK) == b"%d" % step
        assert await answer(clock, "wrong") == b"wrong"
        assert not client.exists(CHALLENGE, INDEX)
        assert told(keys) == [f"twoFA.challengeFailed {tries}" for tries in (1, 2, 3, 4, 5)]
        for how, announced in (("totp", []), ("recovery", [b"?1 0 %d" % clock.now])):
            client.set(CHALLENGE, challenge(4), px=MINUTE)
            assert await answer(clock, how, step + 1) == b"accepted"
            assert not client.exists(CHALLENGE)
            assert client.hvals(INDEX) == announced
            assert client.get(WATERMARK) == b"%d" % (step + 1)
        for other in (challenge(0)[:-1], challenge(0) + b"\0"):
            client.set(CHALLENGE, other, px=MINUTE)
            with pytest.raises(UnknownLayout):
                await answer(clock, "recovery")
            assert client.get(CHALLENGE) == other
    assert len(told(keys)) == 5


async def test_a_step_counts_once(clock: ScriptClock, keys: RedisServer) -> None:
    """Nor an older one; what was accepted is remembered for five minutes, and then announced."""
    step = clock.now // STEP
    with keys.client() as client:
        for presented, outcome in ((step, 1), (step, 0), (step - 1, 0), (step + 1, 1), ("", 1)):
            clock.move(clock.now - clock.start + 1)
            before = client.hget(INDEX, "v")
            assert await spend(clock, presented) == outcome
            assert (client.hget(INDEX, "v") != before) == outcome
        assert client.get(WATERMARK) == b"%d" % (step + 1)
        assert clock.gave(LIFE, client, WATERMARK)
        assert client.hget(INDEX, "v") == b"?3 0 %d" % clock.now
    assert told(keys) == []


@pytest.mark.parametrize(
    ("behind", "readable"), [(0, True), (1, True), (18, True), (19, False), (10_000, False)]
)
async def test_an_older_watermark(
    clock: ScriptClock, keys: RedisServer, behind: int, readable: bool
) -> None:
    """Of more than its life and the clocks ago it is none: 5 minutes, and 4 of skew."""
    step = clock.now // STEP
    with keys.client() as client:
        client.set(WATERMARK, step - behind, px=MINUTE)
        if readable:
            assert await spend(clock, step) == (behind > 0)
            return
        with pytest.raises(UnknownLayout):
            await spend(clock, step)
        assert client.get(WATERMARK) == b"%d" % (step - behind)
        assert not client.exists(INDEX)


@pytest.mark.parametrize("last", [b"-5", b"+5", b"1e9", b"%d.5", b" %d", b""])
async def test_a_watermark_that_is_no_number(
    clock: ScriptClock, keys: RedisServer, last: bytes
) -> None:
    """No code is judged by it."""
    step = clock.now // STEP
    with keys.client() as client:
        client.set(WATERMARK, last.replace(b"%d", b"%d" % step), px=MINUTE)
        with pytest.raises(UnknownLayout):
            await spend(clock, step + 2)


@pytest.mark.parametrize("sign", [1, -1])
async def test_a_clock_that_is_wrong(clock: ScriptClock, keys: RedisServer, sign: int) -> None:
    """By a minute, and no code is judged, at any door; by a millisecond less, it is."""
    step = clock.now // STEP
    clock.move(0, microseconds=0)
    within, beyond = sign * (MINUTE - 1), sign * MINUTE
    with keys.client() as client:
        client.set(CHALLENGE, challenge(0), px=MINUTE)
        client.set(PENDING, pending(0, 0), px=MINUTE)
        for call in (
            confirm(clock, step, beyond),
            answer(clock, "totp", step, beyond),
            spend(clock, step, beyond),
        ):
            with pytest.raises(ClockWrong):
                await call
        assert (client.get(CHALLENGE), client.get(PENDING)) == (challenge(0), pending(0, 0))
        assert not client.exists(WATERMARK, INDEX)
    assert await spend(clock, step, within) == 1
