"""Bringing events to a sink: at least once, in order, by one process a stream at a time."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tools.testbed.access import SERVICE
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import RedisServer

from service.events.event import Position
from service.redis.client import RedisClient
from service.redis.event_streams import EventStreams
from service.sinks import shipper as shipping
from service.sinks.state import SinkState
from tests.events.conftest import write
from tests.sinks.shipping import ListSink, Told, bring, in_order, shipper
from tests.support.looking import ON_VALKEY

pytestmark = ON_VALKEY

USERS = [bytes([number]) + bytes(15) for number in range(64)]


@pytest.fixture
async def redis(keys: RedisServer) -> AsyncIterator[RedisClient]:
    """A client as the service's user of redis.conf."""
    client = RedisClient(keys.url_of(SERVICE), timing=PATIENTLY)
    yield client
    await client.aclose()


async def test_all_of_them_once(keys: RedisServer, redis: RedisClient) -> None:
    """What is kept and what comes later, over all streams, more than one batch of one of them."""
    ids = [write(keys, random.choice(USERS), "x") for _ in range(100)]
    ids += [write(keys, USERS[3], "x") for _ in range(35)]
    sink, told = ListSink(), Told()
    one = shipper(redis, sink, told=told)
    await bring(one)
    assert sorted(sink.arrived) == sorted(ids)
    assert in_order(sink.arrived)
    await bring(one, looks=2)
    ids.append(write(keys, USERS[5], "x"))
    await bring(one)
    assert sorted(sink.arrived) == sorted(ids)
    assert told.of == {"sent": 136}


async def test_two_pods_share_the_work(
    keys: RedisServer, redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stream is one pod's: nothing comes twice, and nothing out of order."""
    monkeypatch.setattr(shipping, "_ELSEWHERE", 0)
    sink = ListSink()
    pods = [shipper(redis, sink, owner) for owner in (b"a", b"b")]
    ids = []
    for _ in range(5):
        ids += [write(keys, random.choice(USERS), "x") for _ in range(60)]
        await asyncio.gather(*(bring(pod) for pod in pods))
    for _ in range(300):  # until each has found what the other gave up
        if len(sink.arrived) < len(ids):
            await asyncio.gather(*(bring(pod) for pod in pods))
    assert sorted(sink.arrived) == sorted(ids)
    assert in_order(sink.arrived)


async def test_who_was_killed_is_replaced(
    keys: RedisServer, redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once its lease is over another goes on: what it had not noted comes again."""
    monkeypatch.setattr(shipping, "_ELSEWHERE", 0)
    ids = [write(keys, USERS[9], "x") for _ in range(5)]
    lost, taken_over = ListSink(), ListSink()
    await bring(shipper(redis, lost, b"killed"))
    assert lost.arrived == ids
    with keys.client() as client:  # it was killed right before it could note the last three
        client.hset("events:{09}:sink:list", "cursor", Position.parse(ids[1]).entry)
    other = shipper(redis, taken_over, b"other")
    await bring(other)
    assert taken_over.arrived == []
    with keys.client() as client:
        client.hset("events:{09}:sink:list", "until", 1)
        client.hset("events:{00}:pods:list", "killed", 1)
    await bring(other, looks=3)
    assert taken_over.arrived == ids[2:]


async def test_who_has_lost_the_lease_notes_nothing(keys: RedisServer, redis: RedisClient) -> None:
    """However long a pod slept while it delivered, it does not take the other back."""
    state = SinkState(redis, "list", b"slow")
    slow = await state.hold(9)
    assert slow is not None
    with keys.client() as client:
        client.hset("events:{09}:sink:list", "until", 1)
    other = SinkState(redis, "list", b"other")
    taken = await other.hold(9)
    assert taken is not None
    assert not await state.note(9, slow)
    assert await other.note(9, taken)
    assert await state.hold(9) is None


async def test_a_failure_holds_up_its_stream_alone(keys: RedisServer, redis: RedisClient) -> None:
    """What has failed comes first when it is tried again; other streams go on meanwhile."""
    mine = [write(keys, USERS[1], "x") for _ in range(4)]
    theirs = [write(keys, USERS[2], "x") for _ in range(4)]
    sink, told = ListSink(), Told()
    sink.failing = {mine[1]}
    one = shipper(redis, sink, told=told)
    await bring(one, looks=2)
    assert sorted(sink.arrived) == sorted([mine[0], *theirs])
    assert told.last_lag > 0
    sink.failing.clear()
    await bring(one, looks=2)
    assert [each for each in sink.arrived if each in mine] == mine
    assert told.of == {"sent": 8, "failed": 2}


async def test_what_fails_too_often_is_parked(keys: RedisServer, redis: RedisClient) -> None:
    """It is passed over after so many tries; replayed, it comes, and all after it once more."""
    ids = [write(keys, USERS[1], "x") for _ in range(3)]
    sink, told = ListSink(), Told()
    sink.failing = {ids[1]}
    one = shipper(redis, sink, told=told)
    await bring(one, looks=4)
    assert sink.arrived == [ids[0], ids[2]]
    assert told.of == {"sent": 2, "failed": 3, "parked": 1}
    state = SinkState(redis, "list")
    assert (await state.read(1)).parked == 1
    sink.failing.clear()
    await state.rewind(1, Position.parse(ids[0]).entry)
    write(keys, USERS[1], "x")
    await bring(one, looks=1)
    await asyncio.sleep(0)
    one._streams[1].ask_at = 0
    await bring(one, looks=2)
    assert sink.arrived[-3:-1] == ids[1:]


async def test_rights_that_are_lacking_are_told(keys: RedisServer, redis: RedisClient) -> None:
    """What waits is not known then; the lag grows, and a reader is not told that all is well."""
    write(keys, USERS[1], "x")
    sink, told = ListSink(), Told()
    one = shipper(redis, sink, told=told)
    with keys.client() as client:
        client.execute_command("ACL SETUSER", SERVICE, "-xrange")
        try:
            await bring(one, looks=2)
        finally:
            client.execute_command("ACL SETUSER", SERVICE, "+xrange")
    assert told.last_lag > 0
    await bring(one, looks=2)
    assert len(sink.arrived) == 1
    assert told.last_lag == 0


async def test_nothing_goes_by_age_before_it_has_arrived(
    keys: RedisServer, redis: RedisClient
) -> None:
    """Trimming waits for the slowest sink, and not for one that has all there is."""
    old = [write(keys, USERS[1], "x", f"{at}-0") for at in range(1, 6)]
    write(keys, USERS[1], "x")
    streams = EventStreams(redis, timedelta(days=1), lambda _: None, ["list", "other"])
    await streams.look(1)

    def kept() -> int:
        with keys.client() as client:
            return client.xlen("events:{01}")

    assert kept() == 6
    await bring(shipper(redis, ListSink()))
    await streams.look(1)
    assert kept() == 6
    other = SinkState(redis, "other", b"a")
    held = await other.hold(1)
    assert held is not None
    await other.rewind(1, Position.parse(old[2]).entry)
    await streams.look(1)
    assert kept() == 4
    with keys.client() as client:
        client.hset("events:{01}:sink:other", "cursor", client.xrevrange("events:{01}")[0][0])
    await streams.look(1)
    assert kept() == 1
