"""The cut-off of everybody, in the scripts: what was opened before it is over, wherever it is asked
for, and what is opened afterwards lives."""

from typing import Any

import pytest
from tools.testbed.redis_server import RedisServer

from service.errors import UnknownLayout
from service.sessions import scripts
from tests.sessions.scripted import HOUR, INDEX, NAMES, Scripted, digest, key, sid
from tests.support.looking import ON_VALKEY

pytestmark = ON_VALKEY


def cut_off(server: RedisServer) -> int:
    with server.client() as client:
        assert client.pttl(NAMES.before) == -1
        return int(client.get(NAMES.before))


def stamp(outcome: Any) -> int:
    return int.from_bytes(outcome[1][5:11])


async def read(scripted: Scripted, number: int) -> Any:
    link = scripted.clock
    return await scripts.read(link, index=INDEX, tag=NAMES.tag, session_id=sid(number))


async def listed(scripted: Scripted, number: int) -> set[bytes] | None:
    link = scripted.clock
    rows = await scripts.list_all(link, index=INDEX, tag=NAMES.tag, caller=sid(number))
    return None if rows is None else {row[0] for row in rows}


async def test_what_is_written(scripted: Scripted, keys: RedisServer) -> None:
    """The time, an entry of the feed and an event that is nobody's; nothing is deleted."""
    scripted.clock.move(HOUR)
    opened = stamp(await scripted.open(1))
    with keys.client() as client:
        before = client.dbsize()
        await scripted.cut_off_everybody()
        at = cut_off(keys)
        assert opened <= at <= opened + 1_000
        [entry] = [entry for _, entry in client.xrange(NAMES.revoked)]
        assert entry == {b"n": b"1", b"g": b"1", b"t": b"%d" % at}
        [(_, event)] = client.xrevrange(NAMES.events, count=1)
        assert event == {
            b"type": b"sessions.cutOff", b"user": b"", b"ip": b"192.0.2.7",
            b"request": b"request-1", b"reason": b"test", b"by": b"cli",
        }  # fmt: skip
        assert client.dbsize() == before + 3
        assert client.hget(INDEX, sid(1)) == digest(1)


async def test_what_is_over(scripted: Scripted, keys: RedisServer) -> None:
    """For each script: as if it had ended, and nothing of it counts as theft."""
    for number in (1, 2, 3):
        await scripted.open(number)
    await scripted.rotate(2, 0)
    await scripted.cut_off_everybody()
    for number in (1, 2):
        assert await read(scripted, number) is None
        assert await listed(scripted, number) is None
        assert await scripted.rotate(number, 0) == [b"ended"]
    assert await scripted.rotate(2, 1) == [b"ended"]
    assert await scripted.rotate(1, 0, sure=1, proved=2) == [b"ended"]
    assert await scripted.revoke(1, 2) == b"unauthenticated"
    assert await scripted.revoke_all(1, keep_own=False) == -1
    assert await scripts.count(scripted.clock, index=INDEX, tag=NAMES.tag) == 0
    with keys.client() as client:
        before = client.xlen(NAMES.events), client.xlen(NAMES.revoked)
        assert [await scripted.end(3), await scripted.end(3)] == [0, 0]
        assert (client.xlen(NAMES.events), client.xlen(NAMES.revoked)) == before
        assert not client.exists(key(3))
    assert (await scripted.open(4))[0] == b"opened"
    assert await listed(scripted, 4) == {sid(4)}
    assert await scripted.revoke(4, 1) == b"unknown"


async def test_what_is_opened_afterwards(scripted: Scripted, keys: RedisServer) -> None:
    """Lives, also of the same millisecond, and at the limit: those that are over leave room."""
    scripted.clock.move(HOUR)
    for number in (1, 2):
        await scripted.open(number, most=2)
    await scripted.cut_off_everybody()
    for number in (3, 4):
        opened = await scripted.open(number, most=2)
        assert stamp(opened) > cut_off(keys)
    assert await listed(scripted, 3) == {sid(3), sid(4)}
    assert await read(scripted, 3)
    assert (await scripted.rotate(3, 0))[0] == b"rotated"
    assert (await scripted.rotate(3, 0))[0] == b"handoff"
    assert await scripted.end(4) == 1
    assert await scripted.revoke_all(3, keep_own=False) == 1


async def test_of_one_millisecond(scripted: Scripted, keys: RedisServer) -> None:
    """Of the user's cut-offs and everybody's, in any order, each ends what came before it."""
    scripted.clock.move(HOUR)
    times: list[int] = []
    for number in range(1, 40):
        opened = stamp(await scripted.open(number))
        assert not times or opened > times[-1]
        if number % 4 == 0:
            await scripted.cut_off_everybody()
            times.append(cut_off(keys))
        else:
            assert await scripted.end_all() == 1
            with keys.client() as client:
                [(_, entry)] = client.xrevrange(NAMES.revoked, count=1)
            times.append(int(entry[b"t"]))
        assert opened <= times[-1]
        assert await read(scripted, number) is None


@pytest.mark.parametrize("back", [1, HOUR])
async def test_a_clock_that_was_put_back(scripted: Scripted, keys: RedisServer, back: int) -> None:
    """A cut-off never goes back, nor behind what the bucket's events know of the time."""
    scripted.clock.move(2 * HOUR)
    opened = stamp(await scripted.open(1))
    await scripted.cut_off_everybody()
    at = cut_off(keys)
    scripted.clock.move(2 * HOUR - back)
    assert stamp(await scripted.open(2)) > at
    await scripted.cut_off_everybody()
    assert cut_off(keys) > at >= opened
    assert await read(scripted, 2) is None
    with keys.client() as client:
        client.delete(NAMES.before)
        client.xadd(NAMES.events, {"type": "x"}, id=f"{opened + HOUR}-0")
    await scripted.cut_off_everybody()
    assert cut_off(keys) > opened + HOUR


async def test_a_key_of_another_kind(scripted: Scripted, keys: RedisServer) -> None:
    """Where no record is, MGET answers nothing; it is an error all the same."""
    await scripted.open(1)
    with keys.client() as client:
        client.delete(key(1))
        client.rpush(key(1), "a list")
        client.expire(key(1), 60)
    for call in (lambda: scripted.rotate(1, 0), lambda: read(scripted, 1)):
        with pytest.raises(UnknownLayout):
            await call()


@pytest.mark.parametrize("stored", [b"", b"\1", b"\1" * 10])
async def test_what_is_too_short_to_tell(
    scripted: Scripted, keys: RedisServer, stored: bytes
) -> None:
    """It is not over: what reads it says that it is unknown, and a logout ends it."""
    await scripted.cut_off_everybody()
    await scripted.open(1)
    with keys.client() as client:
        client.set(key(1), stored, keepttl=True)
    assert (await read(scripted, 1))[0] == stored
    assert await listed(scripted, 1) == {sid(1)}
    assert await scripted.end(1) == 1
