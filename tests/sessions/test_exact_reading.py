"""What the scripts that only read answer: the records, their ends, and the version, as stored."""

from collections.abc import Awaitable, Callable

import pytest
from tools.testbed.parts import CLIENT
from tools.testbed.redis_server import RedisServer

from service.errors import UnknownLayout
from service.sessions import scripts
from service.twofactor.scripts import publish_row
from tests.sessions.scripted import HOUR, INDEX, NAMES, USER, Scripted, digest, key, record, sid
from tests.support.looking import ON_VALKEY

pytestmark = ON_VALKEY


async def test_one_and_all(scripted: Scripted, keys: RedisServer) -> None:
    """Each with its own end; none of one that has ended or expired, nor to one that has."""
    now, link = scripted.clock.now, scripted.clock
    for number in (1, 2, 3):
        await scripted.open(number, read="7", idle_life=HOUR + number)
    with keys.client() as client:
        client.delete(key(3))
    whole = record(0, now, 0, row=7)

    async def listed(number: int) -> object:
        return await scripts.list_all(link, index=INDEX, tag=NAMES.tag, caller=sid(number))

    async def read(number: int) -> object:
        return await scripts.read(link, index=INDEX, tag=NAMES.tag, session_id=sid(number))

    rows = await listed(1)
    assert isinstance(rows, list)
    assert sorted(rows) == [[sid(number), whole, now + HOUR + number] for number in (1, 2)]
    assert [await read(number) for number in (1, 2)] == [
        [whole, now + HOUR + number, b"7"] for number in (1, 2)
    ]
    for number in (3, 4):
        assert await listed(number) is None
        assert await read(number) is None
    assert await scripts.count(link, index=INDEX, tag=NAMES.tag) == 2


async def test_more_than_are_read_at_once(scripted: Scripted, keys: RedisServer) -> None:
    """Of 250 sessions, of which 120 have expired, none is missed: when they are counted and listed,
    when they are too many, and when the second factor that they have proved is off."""
    now, link = scripted.clock.now, scripted.clock
    stored = {number: record(0, now + number, 0, 3) for number in range(120, 250)}
    with keys.client() as client, client.pipeline() as pipeline:
        for number in reversed(range(250)):
            pipeline.hset(INDEX, sid(number), digest(number))
        for number, each in stored.items():
            pipeline.set(key(number), each, px=HOUR)
        pipeline.pexpire(INDEX, HOUR)
        pipeline.execute()
        assert await scripts.count(link, index=INDEX, tag=NAMES.tag) == 130
        rows = await scripts.list_all(link, index=INDEX, tag=NAMES.tag, caller=sid(120))
        assert {row[0]: row[1] for row in rows} == {sid(each): stored[each] for each in stored}
        assert (await scripted.open(250, most=120))[0] == b"opened"
        assert set(client.hkeys(INDEX)) == {sid(number) for number in range(131, 251)}
        ended = [entry[b"s"] for _, entry in client.xrange(NAMES.revoked)]
        assert ended == [sid(number) for number in range(120, 131)]
        await publish_row(link, USER, CLIENT, row_version=7, event="twoFA.disabled")
        for number in range(131, 250):
            assert client.get(key(number)) == record(0, now + number, 0, 1)
            assert 0 < client.pttl(key(number)) <= HOUR


async def test_a_record_of_another_kind(scripted: Scripted, keys: RedisServer) -> None:
    """It is not taken for one that has expired: nothing is done."""
    link = scripted.clock
    await scripted.open(1)
    await scripted.open(2)
    with keys.client() as client:
        client.delete(key(2))
        client.rpush(key(2), "a list")
        client.pexpire(key(2), HOUR)
        before = {name: client.dump(name) for name in client.scan_iter()}
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: scripts.count(link, index=INDEX, tag=NAMES.tag),
            lambda: scripts.list_all(link, index=INDEX, tag=NAMES.tag, caller=sid(1)),
            lambda: scripted.open(3, most=2),
        ]
        for call in calls:
            with pytest.raises(UnknownLayout):
                await call()
        assert {name: client.dump(name) for name in client.scan_iter()} == before
