"""A guard says how far it has read, and is heard where the shipped ACL lines are in force."""

import asyncio

import pytest
import redis
from redis.exceptions import NoPermissionError
from tools.testbed.access import GUARD, url_as
from tools.testbed.parts import Parts
from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import eventually

from service.confirmations.guard_positions import GuardPositions
from service.confirmations.waiting import Confirmations
from service.redis.guard_position import About, unpack
from service.redis.keys import BUCKETS, GUARD_LIFE, bucket_number, numbered
from tests.guard.guards import Guards, log_out, refuses, verdict, waits_for_more
from tests.support.guard_reports import pack
from tests.support.looking import ON_VALKEY

REPORTS = numbered(0).guard + b"*"
USER = bytes(16)


def reports(client: "redis.Redis") -> dict[bytes, bytes]:
    return {key: client.get(key) for key in client.scan_iter(REPORTS, count=1000)}


def test_what_is_packed_is_read_again() -> None:
    """Also what only a liar writes: it is short and printable, or no report at all."""
    positions = [(n, 1_800_000_000_000 + n) for n in range(BUCKETS)]
    about = About("pod", "1", "feed", "closed", 3, -1)
    assert unpack(pack(positions, about)) == (positions, about)
    lie = unpack(pack([(10**30, 1)] * BUCKETS, About("\x1b[2J" + "x" * 1000, lost_ms=1)))
    assert lie is not None
    assert (lie[1].pod[:4], len(lie[1].pod), lie[0][0][0]) == ("?[2J", 64, 2**48 - 1)
    for malformed in (b"", b"\2" * 2000, b"\1" * 900, pack([], about)):
        assert unpack(malformed) is None


@ON_VALKEY
async def test_the_line_of_a_guard(parts: Parts, guards: Guards, keys: RedisServer) -> None:
    """As the user of redis.conf: at its start, where it has read on, when it leaves."""
    guards.redis_url = url_as(GUARD, keys.url).reveal()
    with keys.client() as client:
        async with guards.new(pod="app-7"):
            await eventually(lambda: _says(client, USER, 0))
            await log_out(parts, await parts.open(USER))
            await eventually(lambda: _says(client, USER, 1))
            [(key, report)] = reports(client).items()
            assert 0 < client.pttl(key) <= GUARD_LIFE
            [id_] = client.hkeys(numbered(0).guards)
            assert key == numbered(0).guard + id_
            told = unpack(report)
            assert told is not None
            positions, about = told
            [(entry, _)] = client.xrange(numbered(bucket_number(USER)).revoked)
            assert positions[bucket_number(USER)] == (1, int(entry.partition(b"-")[0]))
            assert (about.pod, about.mode, about.when_lost) == ("app-7", "feed", "closed")
            assert about.lost_ms == -1
            assert 0 <= about.known_ms < 5000
        assert reports(client) == {}


@ON_VALKEY
async def test_a_wish_is_answered_once_the_entry_is_read(
    parts: Parts, guards: Guards, keys: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Be it heard before the entry, which comes over another connection, be it of a service of
    before, which does not say what it waits for; and what is no wish does no harm."""
    monkeypatch.setattr("service.guard.position_writer._WHEN_MOVED", 1000.0)
    asked = numbered(0).asked
    with keys.client() as client:
        client.xadd(asked, {"pause": 1})
        async with guards.new():
            await eventually(lambda: waits_for_more(client))
            client.xadd(asked, {"pause": 1, "bucket": bucket_number(USER), "number": 1})
            await log_out(parts, await parts.open(USER))
            await eventually(lambda: _says(client, USER, 1))
            for malformed in ({"x": "y"}, {"pause": "-1", "bucket": "9" * 15, "number": "x"}):
                client.xadd(asked, malformed)
            await log_out(parts, await parts.open(USER))
            await eventually(lambda: _says_when_asked(client, 2))


@ON_VALKEY
async def test_a_wish_about_a_feed_that_is_not_ours_holds_up_no_other(
    parts: Parts, guards: Guards, keys: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is read of it, so what it wishes for does not come."""
    monkeypatch.setattr("service.guard.position_writer._WHEN_MOVED", 1000.0)
    asked, other = numbered(0).asked, bucket_number(USER) ^ 1
    with keys.client() as client:
        client.xadd(asked, {"pause": 1})
        async with guards.new(bound=0.4):
            await eventually(lambda: waits_for_more(client))
            with client.pipeline() as both:
                both.delete(numbered(other).issuer)
                both.xadd(numbered(other).issuer, {"iss": "https://other.example"})
                both.execute()
            client.xadd(asked, {"pause": 1, "bucket": other, "number": 7})
            await log_out(parts, await parts.open(USER))
            await eventually(lambda: _says_when_asked(client, 1))


@ON_VALKEY
async def test_all_who_wait_at_one_moment_are_answered(
    parts: Parts, guards: Guards, keys: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits for a bucket of its own, and none has to wait until the guard speaks unasked."""
    monkeypatch.setattr("service.guard.position_writer._WHEN_MOVED", 1000.0)
    monkeypatch.setattr("service.guard.report._YOUNG", 1000.0)
    monkeypatch.setattr("service.guard.report._OLD", 1000.0)
    confirmations = Confirmations(GuardPositions(parts.link))

    async def end(number: int) -> tuple[int, int]:
        pair = await parts.open(bytes([number]) * 16)
        caller = parts.access_tokens.verify(pair.access_token)
        await log_out(parts, pair)
        told = await confirmations.wait(caller.user_id, caller.session_id, 60)
        assert told is not None
        return told.confirmed, told.guards

    with keys.client() as client:
        client.xadd(numbered(0).asked, {"pause": 1})
        async with guards.new():
            await eventually(lambda: waits_for_more(client))
            assert set(await asyncio.gather(*map(end, range(30)))) == {(1, 1)}


@ON_VALKEY
async def test_who_waits_for_an_entry_does_not_wait_for_a_rest(
    parts: Parts, guards: Guards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guard that rests after an entry reads on when it is asked about the next."""
    monkeypatch.setattr("service.guard.reading_pace.ReadingPace.rest_after", lambda *_: 100.0)
    confirmations = Confirmations(GuardPositions(parts.link))
    guard = await guards.start(bound=600.0)
    first, second = await parts.open(USER), await parts.open(USER)
    await log_out(parts, first)
    await eventually(lambda: refuses(guard, first.access_token))
    caller = parts.access_tokens.verify(second.access_token)
    await log_out(parts, second)
    told = await confirmations.wait(caller.user_id, caller.session_id, 90.0)
    assert told is not None
    assert told.confirmed == 1
    assert await refuses(guard, second.access_token)


@ON_VALKEY
async def test_one_that_may_not_write_works_as_before(
    parts: Parts,
    guards: Guards,
    keys: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is told so once, however often it tries, and says nothing."""
    monkeypatch.setattr("service.guard.position_writer._FORBIDDEN_FOR", 0.02)
    caplog.set_level("INFO", "openshow_auth.guard")
    with keys.client() as client:
        client.execute_command("ACL SETUSER mute on >x %R~revoked:* +xread +client|tracking")
        try:
            guards.redis_url = keys.url.reveal().replace("://", "://mute:x@", 1)
            guard = await guards.start()
            pair = await parts.open(USER)
            assert await verdict(guard, pair.access_token) == "accepted"
            await log_out(parts, pair)
            await eventually(lambda: refuses(guard, pair.access_token))
            assert reports(client) == {}
            await eventually(lambda: _was_refused_twice(client))
            assert sorted(_refused(client)) == ["hset", "set"]
            assert caplog.text.count("this guard may not say how far it has read") == 1
        finally:
            client.execute_command("ACL DELUSER mute")


def _refused(client: "redis.Redis") -> dict[str, int]:
    """How often each command was."""
    return {it["object"]: int(it["count"]) for it in client.acl_log() if it["username"] == "mute"}


async def _was_refused_twice(client: "redis.Redis") -> bool:
    return min(_refused(client).values(), default=0) >= 2


@ON_VALKEY
async def test_a_guard_of_whose_feed_something_is_missing_confirms_nothing(
    parts: Parts, guards: Guards, keys: RedisServer
) -> None:
    """It may stand behind the entry, and let in whom an earlier one has ended all the same."""
    await log_out(parts, await parts.open(USER))
    with keys.client() as client:
        async with guards.new(bound=0.4):
            await eventually(lambda: _says(client, USER, 1))
            client.incr(numbered(bucket_number(USER)).revocations)
            await log_out(parts, await parts.open(USER))
            await eventually(lambda: _says(client, USER, 0))


@pytest.mark.parametrize(
    "command",
    [
        ["GET", "guard:{00}:x"],
        ["SET", "guard:{00}:x", "y", "GET"],
        ["DEL", "revoked:guards:{00}"],
        ["SET", "revoked:guards:{00}", "x"],
        ["HSET", "revoked:{00}", "a", "b"],
        ["SCAN", "0"],
    ],
    ids=" ".join,
)
def test_it_spoils_its_own_report_only(redis_server: RedisServer, command: list[str]) -> None:
    """It can neither find out the id of another guard nor do away with the list of them."""
    url = url_as(GUARD, redis_server.url).reveal()
    with redis.Redis.from_url(url) as client, pytest.raises(NoPermissionError):
        client.execute_command(*command)


async def _says_when_asked(client: "redis.Redis", number: int) -> bool:
    client.xadd(numbered(0).asked, {"pause": 1})
    return await _says(client, USER, number)


async def _says(client: "redis.Redis", user_id: bytes, number: int) -> bool:
    found = [unpack(report) for report in reports(client).values()]
    return (
        len(found) == 1
        and found[0] is not None
        and found[0][0][bucket_number(user_id)][0] == number
    )


@ON_VALKEY
async def test_no_more_are_counted_than_refuse(parts: Parts, guards: Guards) -> None:
    """Five guards of one name, two of which read no more, and a storm: each count is the truth."""
    confirmations = Confirmations(GuardPositions(parts.link))
    five = [await guards.start(pod="one name") for _ in range(5)]

    async def end(seconds: float) -> tuple[int, int, int]:
        pair = await parts.open()
        caller = parts.access_tokens.verify(pair.access_token)
        await log_out(parts, pair)
        told = await confirmations.wait(caller.user_id, caller.session_id, seconds)
        assert told is not None
        refusing = [await refuses(each, pair.access_token) for each in five]
        return told.confirmed, sum(refusing), told.guards

    assert await end(5) == (5, 5, 5)
    for stopped in five[3:]:
        feed = stopped._lifecycle.current().feed
        assert feed is not None
        for task in feed._tasks:
            task.cancel()
    told = await asyncio.gather(*(end(1) for _ in range(30)))
    assert {confirmed <= refusing == 3 for confirmed, refusing, _ in told} == {True}
    assert (3, 3, 5) in told
