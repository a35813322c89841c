"""What a worker asks of all buckets unasked takes a message for each server, on a cluster, too."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from redis.crc import key_slot
from tools.testbed.access import SERVICE
from tools.testbed.cluster import Cluster, Node
from tools.testbed.commands import watching
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import eventually

from service.confirmations.guard_positions import GuardPositions
from service.errors import StoreUnavailable
from service.mail.sender import Sender
from service.redis import cluster as cluster_module, comparisons as comparisons_module, every_bucket
from service.redis.client import RedisClient
from service.redis.comparisons import Comparisons
from service.redis.connection import Argument, MultiplexedConnection
from service.redis.event_streams import EventStreams
from service.redis.every_bucket import ask_each, values_of
from service.redis.feed_marking import FeedMarking
from service.redis.heartbeats import Heartbeats
from service.redis.keys import BUCKETS, numbered
from service.relying_parties.marks import are_marked, mark_all
from service.rollback.marks import latest_of
from service.rollback.reading import floors_of, numbers_of
from service.sinks.tails import Tails

ON_BOTH = pytest.mark.parametrize("redis_server", ["valkey", "cluster"], indirect=True)
ON_CLUSTER = pytest.mark.parametrize("redis_server", ["cluster"], indirect=True)

ISSUER = "https://ours.example"
NUMBERS = {bucket: numbered(bucket).revocations for bucket in range(BUCKETS)}
Look = Callable[[], Awaitable[Any]]


async def nothing_lost() -> list[int]:
    """What there must be, where there need be nothing."""
    return [0] * BUCKETS


def looks(redis: RedisClient) -> list[Look]:
    """What a worker with nothing to do looks at every few seconds."""
    outbox: Any = SimpleNamespace(on_kept=None)
    unused: Any = None
    sender = Sender(redis, unused, unused, outbox, unused, unused)
    return [
        FeedMarking(redis, ISSUER).mark,
        EventStreams(redis, timedelta(hours=1), lambda _: None)._look_at_all,
        partial(numbers_of, redis),
        partial(floors_of, redis),
        partial(latest_of, redis),
        GuardPositions(redis).numbers,
        Comparisons(redis, ISSUER, nothing_lost).look,
        sender._sweep,
        Tails(redis).look,
        partial(are_marked, redis),
        Heartbeats(redis, on=True).look,
    ]


@pytest.fixture
async def redis(keys: RedisServer) -> AsyncIterator[RedisClient]:
    """A client as the service's user of redis.conf."""
    client = RedisClient(keys.url_of(SERVICE), timing=PATIENTLY)
    yield client
    await client.aclose()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all commands that go out over connections of this process."""
    names: list[str] = []
    ask = MultiplexedConnection.ask

    def noting(
        connection: MultiplexedConnection, command: tuple[Argument, ...]
    ) -> "asyncio.Future[Any]":
        names.append(str(command[0]))
        return ask(connection, command)

    monkeypatch.setattr(MultiplexedConnection, "ask", noting)
    return names


@pytest.fixture
def never_refreshed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The map of a cluster is looked at with a reason only."""
    monkeypatch.setattr(cluster_module, "_LOOK_EVERY", 3600.0)


def bucket_of(cluster: Cluster, node: Node) -> int:
    """A bucket that a node has, but that with the number 2."""
    others = (each for each in range(3, BUCKETS) if cluster.owner(key_slot(NUMBERS[each])) is node)
    return next(others)


async def write_numbers(redis: RedisClient) -> dict[int, bytes | None]:
    """Give every second bucket a number, and return what is to be read then."""
    await asyncio.gather(
        *(redis.execute("SET", NUMBERS[bucket], bucket) for bucket in range(0, BUCKETS, 2))
    )
    return {bucket: None if bucket % 2 else b"%d" % bucket for bucket in range(BUCKETS)}


@ON_BOTH
async def test_a_message_for_each_server(
    keys: RedisServer | Cluster, redis: RedisClient, sent: list[str]
) -> None:
    """Whatever is looked at, once all is as it should be and nothing is due."""
    servers = 3 if isinstance(keys, Cluster) else 1
    await mark_all(redis)

    async def takes_so_many(look: Look) -> bool:
        await look()
        sent.clear()
        await look()  # soon enough, unless this machine has other things to do
        return len([name for name in sent if name != "CLUSTER"]) == servers

    for look in looks(redis):
        await eventually(partial(takes_so_many, look))


@ON_BOTH
async def test_it_counts_for_no_call(keys: RedisServer | Cluster, redis: RedisClient) -> None:
    """Who counts what a call takes leaves all of that out, and nothing else."""
    for look in looks(redis):
        await look()  # loads its script
    with ExitStack() as stack:
        servers = keys.nodes if isinstance(keys, Cluster) else [keys]
        clients = [stack.enter_context(server.client()) for server in servers]
        with watching(clients) as seen:
            await redis.execute("GET", b"session:{00}:x")
            for look in looks(redis):
                await look()
    assert (seen.from_clients, seen.in_scripts) == (["GET"], [])


@ON_BOTH
async def test_the_fence_is_read_once_for_all_that_are_compared(
    keys: RedisServer, redis: RedisClient
) -> None:
    """From the user store; and not at all where nothing is due."""
    read = 0

    async def least() -> list[int]:
        nonlocal read
        read += 1
        return [0] * BUCKETS

    comparisons = Comparisons(redis, ISSUER, least)
    await comparisons.look()
    assert read == 1
    compared = {numbered(group[0]).compared for group in comparisons._groups}
    with keys.client() as client:
        assert set(client.scan_iter("revoked:compared:*")) == compared

    async def nothing_is_due() -> bool:
        before = read
        await comparisons.look()
        return read == before

    await eventually(nothing_is_due)


@ON_BOTH
async def test_one_process_of_several_compares(
    keys: RedisServer, redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that begin in one moment, too; and another goes on once it does no more."""
    monkeypatch.setattr(comparisons_module, "_SOON", -1.0)  # it is due at each of its looks
    pods = [Comparisons(redis, ISSUER, nothing_lost) for _ in range(4)]

    async def one_leads() -> bool:
        await asyncio.gather(*(pod.look() for pod in pods))
        return [pod._leads for pod in pods].count(True) == 1

    await eventually(one_leads)
    pods.remove(next(pod for pod in pods if pod._leads))

    async def another_leads() -> bool:
        await asyncio.gather(*(pod.look() for pod in pods))
        return any(pod._leads for pod in pods)

    await eventually(another_leads)


@ON_BOTH
async def test_what_is_wrong_in_one_bucket(keys: RedisServer, redis: RedisClient) -> None:
    """It keeps nobody from reading the others; where nobody answers, that is told."""
    expected = await write_numbers(redis)
    named = {bucket: {"key": key} for bucket, key in NUMBERS.items()}
    with keys.client() as client:
        client.delete(NUMBERS[5])
        client.xadd(NUMBERS[5], {"a": "b"})
        outcomes = await ask_each(redis, every_bucket._get, named)
        assert isinstance(outcomes.pop(5), StoreUnavailable)
        del expected[5]
        assert outcomes == expected
        client.delete(NUMBERS[5])
    await redis.aclose()
    with pytest.raises(StoreUnavailable):
        await values_of(redis, NUMBERS)


async def test_a_fenced_bucket_is_not_read(keys: RedisServer, redis: RedisClient) -> None:
    """Others of its server are."""
    expected = await write_numbers(redis)
    redis.fence.buckets |= {0, 7}
    found = await values_of(redis, NUMBERS)
    assert found == {bucket: each for bucket, each in expected.items() if bucket not in (0, 7)}


@ON_CLUSTER
@pytest.mark.usefixtures("never_refreshed")
async def test_slots_that_move(keys: Cluster, redis: RedisClient) -> None:
    """What is there is read: while a slot moves key by key, once it has, and by an old map."""
    expected = await write_numbers(redis)
    assert await values_of(redis, NUMBERS) == expected
    bucket, slot = 2, key_slot(NUMBERS[2])
    source = keys.owner(slot)
    other = next(node for node in keys.nodes if node is not source)
    other.cluster("SETSLOT", slot, "IMPORTING", source.id)
    source.cluster("SETSLOT", slot, "MIGRATING", other.id)
    try:
        with source.client() as client:
            client.migrate("127.0.0.1", other.port, [NUMBERS[bucket]], 0, 5000)
        assert await values_of(redis, NUMBERS) == expected
        keys.move_key_by_key(slot, other)
        assert await values_of(redis, NUMBERS) == expected
        assert redis.server_of(NUMBERS[bucket]) is redis.server_of(NUMBERS[bucket_of(keys, other)])
    finally:
        keys.move(slot, source)
    assert await values_of(redis, NUMBERS) == expected


@ON_CLUSTER
async def test_one_client_of_a_process_looks_at_the_map(
    keys: Cluster, redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another goes by it, asks for no map itself, and hears of slots that have moved."""
    monkeypatch.setattr(cluster_module, "_LOOK_EVERY", 0.05)
    beside = RedisClient(keys.url_of(SERVICE), timing=PATIENTLY)
    beside.go_by(redis)
    await redis.unserved()
    await beside.unserved()
    monkeypatch.setattr(beside._topology, "_read_map", unexpected)
    await hears_of_a_slot_that_moves(keys, beside)
    await beside.aclose()


@ON_CLUSTER
async def test_who_went_by_another_that_is_closed(
    keys: Cluster, redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks at the map itself again."""
    monkeypatch.setattr(cluster_module, "_LOOK_EVERY", 0.05)
    beside = RedisClient(keys.url_of(SERVICE), timing=PATIENTLY)
    beside.go_by(redis)
    await beside.unserved()
    await redis.aclose()
    await hears_of_a_slot_that_moves(keys, beside)
    await beside.aclose()


async def hears_of_a_slot_that_moves(keys: Cluster, client: RedisClient) -> None:
    """Without a question by which it would be sent on."""
    slot = key_slot(NUMBERS[2])
    source = keys.owner(slot)
    other = next(node for node in keys.nodes if node is not source)
    there = client.server_of(NUMBERS[bucket_of(keys, other)])

    async def is_known() -> bool:
        return client.server_of(NUMBERS[2]) is there

    try:
        assert not await is_known()
        keys.move(slot, other)
        await eventually(is_known)
    finally:
        keys.move(slot, source)


@ON_CLUSTER
async def test_closing_twice(keys: Cluster, redis: RedisClient) -> None:
    """Whoever goes by another's looks may be closed before that one, and again."""
    beside = RedisClient(keys.url_of(SERVICE), timing=PATIENTLY)
    beside.go_by(redis)
    for _ in range(2):
        await beside.aclose()
    for _ in range(2):
        await redis.aclose()


async def unexpected() -> None:
    """What is not to be called."""
    raise AssertionError
