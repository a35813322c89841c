"""Cut-offs of a user, in the script: who stays, what is written, and on which side of it a session
of the same millisecond is."""

from typing import Any

import pytest
from tools.testbed.parts import CLIENT
from tools.testbed.redis_server import RedisServer

from service.errors import UnknownLayout
from service.redis.keys import LONGEST_CHANGE
from service.twofactor.scripts import publish_row
from tests.sessions.scripted import (
    HOUR,
    INDEX,
    NAMES,
    SPARE,
    USER,
    Scripted,
    digest,
    key,
    record,
    sid,
    told,
)
from tests.support.looking import ON_VALKEY

pytestmark = ON_VALKEY

MINUTE = int(LONGEST_CHANGE.total_seconds() * 1000)
TOMBSTONE = 2**53 - 1
MANY = 129
"""More sessions than are looked at one by one."""


def feed(server: RedisServer) -> list[dict[bytes, bytes]]:
    with server.client() as client:
        entries = [entry for _, entry in client.xrange(NAMES.revoked)]
    assert [int(entry.pop(b"n")) for entry in entries] == list(range(1, len(entries) + 1))
    return entries


def index(server: RedisServer) -> dict[bytes, bytes]:
    with server.client() as client:
        return client.hgetall(INDEX)


def stamp(outcome: Any) -> int:
    """When a session was opened, by the record that opening or rotating it has answered."""
    return int.from_bytes(outcome[1][5:11])


async def living(scripted: Scripted, *numbers: int) -> list[int]:
    """Those of these sessions that still rotate."""
    outcomes = [(number, await scripted.rotate(number, 0, sure=1)) for number in numbers]
    return [number for number, outcome in outcomes if outcome[0] in (b"rotated", b"handoff")]


async def ahead(scripted: Scripted) -> int:
    """Move the clock of the scripts ahead of the server's, which names the entries of streams."""
    scripted.clock.move(HOUR)
    return scripted.clock.now


@pytest.mark.parametrize("kept", [b"", sid(2)])
async def test_what_is_written(scripted: Scripted, keys: RedisServer, kept: bytes) -> None:
    """One entry, one event with the count, an index with what stays, whose life is the old one's or
    that of a login under way; no record or handoff of those that have ended."""
    now = await ahead(scripted)
    for number in (1, 2, 3):
        ends = (await scripted.open(number, idle_life=number * HOUR))[2]
        await scripted.rotate(number, 0, idle_life=number * HOUR)
    before = len(told(keys))
    count = 2 if kept else 3
    assert await scripted.end_all(keep_id=kept, reason="all", by="cli") == count
    entry = {b"u": USER, b"t": b"%d" % now} | ({b"k": kept} if kept else {})
    assert feed(keys) == [entry]
    assert told(keys)[before:] == [
        {"type": "user.sessionsEnded", "count": str(count), "reason": "all", "by": "cli"}
    ]
    assert index(keys) == {b"c": b"%d" % now} | ({kept: digest(2, 1)} if kept else {})
    with keys.client() as client:
        assert client.pexpiretime(INDEX) == (ends + 3 * SPARE if kept else now + MINUTE)
        left = [
            name for prefix in (b"session:*", b"handoff:*") for name in client.scan_iter(prefix)
        ]
        assert len(left) == (2 if kept else 0)
    assert await scripted.end_all(keep_id=kept) == 0
    assert len(feed(keys)) == 1
    assert len(told(keys)) == before + 1


async def test_without_reason_or_operator(scripted: Scripted, keys: RedisServer) -> None:
    """The event has neither field."""
    await scripted.open(1)
    await scripted.end_all(reason="", event="user.passwordChanged")
    assert told(keys)[1:] == [{"type": "user.passwordChanged", "count": "1"}]


@pytest.mark.parametrize("beside", [0, 62, 63, 66, MANY])
async def test_of_many_the_records_stay(scripted: Scripted, keys: RedisServer, beside: int) -> None:
    """Nothing reaches them: not their tokens, spent or not, and not the list; the count is the
    index'. Of 64 they go."""
    for number in range(1, 3 + beside):
        await scripted.open(number, most=1_000)
    await scripted.rotate(1, 0)
    assert await scripted.end_all() == 2 + beside
    with keys.client() as client:
        assert client.exists(key(1, 1)) == client.exists(key(2)) == (beside > 62)
        assert beside > 62 or not list(client.scan_iter(b"session:*"))
        assert all(client.pttl(name) > 0 for name in client.scan_iter(b"session:*"))
    assert len(feed(keys)) == 1
    for number, generation in ((1, 0), (1, 1), (2, 0)):
        assert await scripted.rotate(number, generation) == [b"ended"]
        assert await scripted.end(number) == 0
    assert [row["count"] for row in told(keys) if "count" in row] == [str(2 + beside)]


@pytest.mark.parametrize("beside", [0, MANY])
@pytest.mark.parametrize("announced", [True, False])
async def test_who_stays_of_a_change(
    scripted: Scripted, keys: RedisServer, beside: int, announced: bool
) -> None:
    """By the row that they were opened by: those of the new one and of later ones, wherever the
    change was when they came, and however many others there are."""
    for number in range(100, 100 + beside):
        await scripted.open(number, read=3, most=1_000)
    await scripted.open(1, read=3, most=1_000)
    if announced:
        await scripted.announce()
    noted = index(keys)[b"v"]
    for number, version in ((2, 3), (3, 7), (4, 8)):
        assert (await scripted.open(number, read=version, noted=noted, most=1_000))[0] == b"opened"
        noted = index(keys)[b"v"]
    assert await scripted.publish(7) == 2 + beside
    stay = {sid(3): digest(3), sid(4): digest(4)}
    at = index(keys).pop(b"c")
    assert index(keys) == stay | {b"c": at, b"v": b"7" if announced else b"8"}
    [entry] = feed(keys)
    kept = entry.pop(b"k")
    assert {kept[:12], kept[12:]} == set(stay)
    assert entry == {b"u": USER, b"t": at}
    assert await living(scripted, 1, 2, 3, 4) == [3, 4]


@pytest.mark.parametrize("beside", [0, MANY])
async def test_versions_that_a_restored_store_has_not(
    scripted: Scripted, keys: RedisServer, beside: int
) -> None:
    """A session of before the change ends, though it was opened by a row with a higher version: the
    user store has gone back since."""
    for number in range(100, 100 + beside):
        await scripted.open(number, read=9, most=1_000)
    await scripted.open(1, read=9, most=1_000)
    await scripted.announce()
    await scripted.open(2, read=7, noted=index(keys)[b"v"], most=1_000)
    assert await scripted.publish(7) == 1 + beside
    assert await living(scripted, 1, 2) == [2]


@pytest.mark.parametrize("beside", [0, MANY])
async def test_who_came_during_a_change_that_never_ended(
    scripted: Scripted, keys: RedisServer, beside: int
) -> None:
    """It says nothing about the next one: the user store may have gone back between the two. Those
    opened by the row of the next one stay, and those who came after it was announced."""
    for number in range(100, 100 + beside):
        await scripted.open(number, read=3, most=1_000)
    await scripted.announce()  # by a process that was killed
    await scripted.open(1, read=9, noted=index(keys)[b"v"], most=1_000)
    await scripted.open(2, read=7, noted=index(keys)[b"v"], most=1_000)
    await scripted.announce()
    await scripted.open(3, read=8, noted=index(keys)[b"v"], most=1_000)
    assert await scripted.publish(7) == 1 + beside
    assert await living(scripted, 1, 2, 3) == [2, 3]
    await scripted.announce()
    assert await scripted.publish(10) == 2, "of both no word is left"


async def test_of_two_changes_at_once(scripted: Scripted, keys: RedisServer) -> None:
    """The row goes on changing for the other one; who was opened meanwhile is not forgotten."""
    await scripted.open(1)
    await scripted.announce()
    await scripted.announce()
    noted = index(keys)[b"v"]
    await scripted.open(2, read=7, noted=noted)
    await scripted.open(3, read=3, noted=noted)
    assert index(keys)[b"d"] == sid(2) + sid(3)
    assert await scripted.publish(7) == 2
    assert index(keys)[b"v"].startswith(b"?1 7 ")
    assert index(keys)[b"d"] == sid(2)
    assert await scripted.publish(9) == 1
    assert index(keys).keys() == {b"v", b"c"}
    assert index(keys)[b"v"] == b"9"


async def test_a_change_that_was_not_made(scripted: Scripted, keys: RedisServer) -> None:
    """One of two is called off, then the other: the version is the highest of before, nobody has
    ended, and nothing is told."""
    await scripted.open(1, read=5)
    await scripted.announce()
    await scripted.announce()
    await scripted.open(2, read=5, noted=index(keys)[b"v"])
    await scripted.call_off()
    assert index(keys)[b"v"].startswith(b"?1 5 ")
    assert index(keys)[b"d"] == sid(2)
    await scripted.call_off()
    assert index(keys) == {sid(1): digest(1), sid(2): digest(2), b"v": b"5"}
    assert feed(keys) == []
    assert [row for row in told(keys) if "Ended" in row] == []
    with keys.client() as client:
        client.hset(INDEX, "v", "of another version")
        with pytest.raises(UnknownLayout):
            await scripted.call_off()
        assert client.hget(INDEX, "v") == b"of another version"


@pytest.mark.parametrize("changes", [1, 2])
async def test_a_change_that_ends_nobody(
    scripted: Scripted, keys: RedisServer, changes: int
) -> None:
    """Once the row has settled, nobody has been opened meanwhile; while another change goes on,
    they have."""
    await scripted.open(1)
    for _ in range(changes):
        await scripted.announce()
    await scripted.open(2, read=0, noted=index(keys)[b"v"])
    event = "twoFA.recoveryCodeUsed"
    await publish_row(scripted.clock, USER, CLIENT, row_version=7, event=event)
    assert index(keys).get(b"d") == (sid(2) if changes == 2 else None)
    assert index(keys).keys() - {b"d"} == {sid(1), sid(2), b"v"}


async def test_the_latest_of_those_opened_meanwhile(scripted: Scripted, keys: RedisServer) -> None:
    """Are noted, 128 of them, and none where nothing changes."""
    await scripted.open(0)
    assert b"d" not in index(keys)
    await scripted.announce()
    noted = index(keys)[b"v"]
    for number in range(1, 131):
        await scripted.open(number, read=0, noted=noted, most=3)
    assert index(keys)[b"d"] == b"".join(sid(number) for number in range(3, 131))


@pytest.mark.parametrize("row", [0, 5, 7])
async def test_the_one_that_is_kept(scripted: Scripted, keys: RedisServer, row: int) -> None:
    """Counts as one of the new row from now on, with all else that its record says."""
    opened = stamp(await scripted.open(1, read=row, authentication=b"\5"))
    await scripted.open(2, read=row)
    await scripted.announce()
    with keys.client() as client:
        ends = client.pexpiretime(key(1))
        assert await scripted.end_all(keep_id=sid(1), from_version=7, row_version=7) == (row < 7)
        assert client.get(key(1)) == record(0, opened, 0, 5, row=7)
        assert client.pexpiretime(key(1)) == ends
    assert await living(scripted, 1) == [1]


async def test_the_one_that_is_kept_among_those_opened_meanwhile(
    scripted: Scripted, keys: RedisServer
) -> None:
    """It is told of once, and counted once, however many others there are."""
    for number in range(100, 100 + MANY):
        await scripted.open(number, most=1_000)
    await scripted.announce()
    noted = index(keys)[b"v"]
    for number in (1, 2):
        await scripted.open(number, read=7, noted=noted, most=1_000)
    assert await scripted.end_all(keep_id=sid(1), from_version=7, row_version=7) == MANY
    kept = feed(keys)[0][b"k"]
    assert sorted((kept[:12], kept[12:])) == [sid(1), sid(2)]
    assert index(keys).keys() == {sid(1), sid(2), b"c", b"v"}


async def test_more_than_are_noted(scripted: Scripted, keys: RedisServer) -> None:
    """Where so many are opened meanwhile that not all are noted, all are looked at."""
    await scripted.open(0, read=0)
    await scripted.announce()
    noted = index(keys)[b"v"]
    for number in range(1, 131):
        await scripted.open(number, read=7, noted=noted, most=1_000)
    assert await scripted.publish(7) == 1
    assert len(feed(keys)[0][b"k"]) == 130 * 12
    stay = {sid(number): digest(number) for number in range(1, 131)}
    assert index(keys).items() >= stay.items()


async def test_one_that_has_ended_is_not_kept(scripted: Scripted, keys: RedisServer) -> None:
    """Guards are not told that it lives."""
    await scripted.open(1)
    await scripted.open(2)
    await scripted.announce()
    assert await scripted.end(1) == 1
    assert await scripted.end_all(keep_id=sid(1), from_version=7, row_version=7) == 1
    assert feed(keys)[1].keys() == {b"u", b"t"}


@pytest.mark.parametrize("count", [0, 2, MANY])
async def test_what_was_left_of_a_change(scripted: Scripted, keys: RedisServer, count: int) -> None:
    """Whoever finds it ends those of an older row, however many, and nothing where there is none;
    the version is left to those who know it."""
    for number in range(1, count + 1):
        await scripted.open(number, read=6, most=1_000)
    await scripted.announce()
    noted = index(keys)[b"v"]
    with keys.client() as client:
        client.hdel(INDEX, "d")  # of another change, which has settled meanwhile
        for number in (901, 902):
            await scripted.open(number, read=number, noted=noted, most=1_000)
            client.hdel(INDEX, "d")
    before = len(told(keys))
    assert await scripted.end_all(from_version=7) == count
    assert index(keys)[b"v"] == noted
    assert await living(scripted, 1, 2, 901, 902) == [901, 902]
    assert len(feed(keys)) == len(told(keys)) - before - 2 == (count > 0)


async def test_a_deletion(scripted: Scripted, keys: RedisServer) -> None:
    """Whoever has read the row before signs in by it no more, for as long as that takes."""
    now = await ahead(scripted)
    await scripted.open(1, read=3)
    await scripted.announce()
    noted = index(keys)[b"v"]
    await scripted.open(2, read=3, noted=noted)
    assert await scripted.publish(TOMBSTONE) == 2
    assert index(keys) == {b"v": b"%d" % TOMBSTONE, b"c": b"%d" % now}
    for read in (0, 3):
        for known in (b"", noted):
            outcome = await scripted.open(3, read=read, noted=known)
            assert outcome == [b"changed", b"%d" % TOMBSTONE]
    with keys.client() as client:
        assert client.pexpiretime(INDEX) == now + MINUTE


async def test_of_somebody_without_sessions(scripted: Scripted, keys: RedisServer) -> None:
    """The version is told all the same, to whoever is about to sign in."""
    assert await scripted.end_all() == 0
    assert index(keys) == {}
    assert await scripted.publish(7) == 0
    assert index(keys)[b"v"] == b"7"
    assert len(feed(keys)) == len(told(keys)) == 1


@pytest.mark.parametrize("noted", [b"x", b"?1 2"])
async def test_a_version_that_cannot_be_read(
    scripted: Scripted, keys: RedisServer, noted: bytes
) -> None:
    """Nothing has ended, and nothing is written."""
    await scripted.open(1)
    with keys.client() as client:
        client.hset(INDEX, "v", noted)
        before = {name: client.dump(name) for name in client.scan_iter()}
        for call in (scripted.announce, lambda: scripted.publish(7)):
            with pytest.raises(UnknownLayout):
                await call()
        assert {name: client.dump(name) for name in client.scan_iter()} == before


async def test_a_record_that_cannot_be_read(scripted: Scripted, keys: RedisServer) -> None:
    """Nobody can tell that it is of the new row, so it ends with the others."""
    await scripted.open(1, read=7)
    await scripted.open(2, read=7)
    with keys.client() as client:
        client.set(key(1), b"\3" + client.get(key(1))[1:], keepttl=True)
    await scripted.announce()
    assert await scripted.publish(7) == 1
    assert index(keys).keys() == {sid(2), b"c", b"v"}


async def test_of_one_millisecond(scripted: Scripted, keys: RedisServer) -> None:
    """Each session is on its side of each cut-off, for guards as well as here."""
    await ahead(scripted)
    times, stamps = [0], []
    for number in range(1, 6):
        stamps.append(stamp(await scripted.open(number)))
        stamps.append(stamp(await scripted.open(number + 10)))
        assert times[-1] < stamps[-2] == stamps[-1]
        assert await scripted.end_all() == 2
        times.append(int(feed(keys)[-1][b"t"]))
        assert stamps[-1] <= times[-1]
    assert times[-1] - times[1] == 4
    assert await living(scripted, *range(1, 6)) == []


@pytest.mark.parametrize("back", [1, HOUR])
async def test_a_clock_that_was_put_back(scripted: Scripted, keys: RedisServer, back: int) -> None:
    """As far as the streams know of it; and as far as the last cut-off does."""
    with keys.client() as client:
        client.xadd(NAMES.events, {"type": "x"}, id=f"{scripted.clock.now + 2 * HOUR}-0")
    scripted.clock.move(2 * HOUR)
    opened = stamp(await scripted.open(1))
    scripted.clock.move(2 * HOUR - back)
    await scripted.open(2)
    await scripted.end_all()
    at = int(feed(keys)[0][b"t"])
    assert at >= opened
    assert stamp(await scripted.open(3)) > at


async def test_guards_of_before(scripted: Scripted, keys: RedisServer) -> None:
    """They are told of each session that has ended, of many as of few, and of no other."""
    scripted.kinds = 1
    await scripted.open(1)
    with keys.client() as client:
        for number in range(2, 4 + MANY):
            await scripted.open(number, most=1_000)
        client.delete(key(3))
    assert await scripted.revoke_all(1, keep_own=True) == MANY + 1
    ended = {number for number in range(2, 4 + MANY) if number != 3}
    entries = feed(keys)
    assert all(entry.keys() == {b"s"} for entry in entries)
    assert sorted(entry[b"s"] for entry in entries) == sorted(map(sid, ended))
    assert told(keys)[-1]["count"] == str(len(ended))
    assert index(keys).keys() == {sid(1), b"c"}
    await scripted.announce()
    assert await scripted.publish(7) == 1
    assert feed(keys)[-1] == {b"s": sid(1)}


async def test_what_else_is_in_the_index(scripted: Scripted, keys: RedisServer) -> None:
    """Fields of other versions stay, with the life that they had."""
    ends = (await scripted.open(1))[2]
    with keys.client() as client:
        client.hset(INDEX, "w", "x")
        assert await scripted.end_all() == 1
        assert index(keys).keys() == {b"w", b"c"}
        assert client.pexpiretime(INDEX) == ends + SPARE
