"""Changes that wait for replicas: on a primary with one replica, which can be frozen."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ResponseError
from tools.testbed.redis_server import NetworkServer
from tools.testbed.waiting import eventually, wait_until

from service.embedded.files import find_binary
from service.errors import RevocationUnconfirmed
from service.redis.client import RedisClient
from service.redis.heartbeats import Heartbeats
from service.redis.keys import BARRIER, numbered
from service.redis.scripts import Key, script


@script(text="redis.call('SET', key, value, 'PX', 60000) return value")
def put(*, key: Key, value: bytes) -> Any: ...


@script(text="return redis.call('DEL', key)")
def find_nothing(*, key: Key) -> Any: ...


@script(text="return redis.call('INCR', key)")
def fail(*, key: Key) -> Any: ...


@script(text="return redis.call('GET', key)", acknowledged=False)
def read(*, key: Key) -> Any: ...


@pytest.fixture(scope="module")
def primary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetworkServer]:
    server = NetworkServer(find_binary(), tmp_path_factory.mktemp("primary")).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def one_replica(
    primary: NetworkServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NetworkServer]:
    directory: Path = tmp_path_factory.mktemp("replica")
    server = NetworkServer(find_binary(), directory, "--replicaof", f"127.0.0.1 {primary.port}")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def replica(primary: NetworkServer, one_replica: NetworkServer) -> Iterator[NetworkServer]:
    """The replica, which follows the primary before and after each test."""
    with primary.client() as client:
        client.flushall()
        wait_until(lambda: client.wait(1, 100) == 1)
    yield one_replica
    one_replica.resume()


@pytest.fixture
async def redis_client(
    primary: NetworkServer, replica: NetworkServer
) -> AsyncIterator[RedisClient]:
    redis_client = RedisClient(primary.url, min_replicas=1)
    yield redis_client
    await redis_client.aclose()


def key() -> bytes:
    return b"test:{00}:" + os.urandom(8)


async def test_what_is_answered_is_on_the_replica(
    redis_client: RedisClient, replica: NetworkServer
) -> None:
    """At the moment of the answer, not some time after it."""
    with replica.client() as client:
        for _ in range(200):
            name, value = key(), os.urandom(8)
            await put(redis_client, key=name, value=value)
            assert client.get(name) == value


async def test_without_the_replica_nothing_is_confirmed(
    redis_client: RedisClient, replica: NetworkServer
) -> None:
    """A change says so, in time, for all who asked together; reads go on; later it works again."""
    replica.freeze()
    name = key()
    outcomes = await asyncio.gather(
        *(put(redis_client, key=name, value=b"x") for _ in range(50)), return_exceptions=True
    )
    assert {type(outcome) for outcome in outcomes} == {RevocationUnconfirmed}
    assert await read(redis_client, key=name) == b"x"
    replica.resume()
    assert await put(redis_client, key=name, value=b"y") == b"y"


async def test_reads_do_not_queue_behind_changes_that_wait(
    redis_client: RedisClient, replica: NetworkServer
) -> None:
    """While a change waits for a frozen replica, any number of reads are answered."""
    await put(redis_client, key=(name := key()), value=b"x")
    replica.freeze()
    waiting = asyncio.ensure_future(put(redis_client, key=name, value=b"y"))
    await asyncio.sleep(0)
    for _ in range(20):
        await read(redis_client, key=name)
    assert not waiting.done()
    with pytest.raises(RevocationUnconfirmed):
        await waiting


async def test_a_change_that_finds_nothing_waits_too(
    primary: NetworkServer, redis_client: RedisClient, replica: NetworkServer
) -> None:
    """On a connection that has never written: what another one has, may not be on the replica."""
    replica.freeze()
    with pytest.raises(RevocationUnconfirmed):
        await put(redis_client, key=(name := key()), value=b"x")
    another = RedisClient(primary.url, min_replicas=1)
    with pytest.raises(RevocationUnconfirmed):
        await find_nothing(another, key=key())
    replica.resume()
    assert await find_nothing(another, key=key()) == 0
    with replica.client() as client:
        assert client.get(name) == b"x"
    await another.aclose()


async def test_those_who_come_together_share_one_wait(
    primary: NetworkServer, redis_client: RedisClient
) -> None:
    """A thousand changes, far fewer WAITs."""
    await put(redis_client, key=key(), value=b"warm")
    with primary.client() as client:
        client.config_resetstat()
        await asyncio.gather(*(put(redis_client, key=key(), value=b"x") for _ in range(1000)))
        stats = client.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 1000
    assert stats["cmdstat_wait"]["calls"] < 100


async def test_an_error_and_a_cancelled_caller_leave_the_others_alone(
    redis_client: RedisClient,
) -> None:
    """Each caller of a batch has the answer to their own command."""
    await put(redis_client, key=(text := key()), value=b"not a number")
    names = [key() for _ in range(20)]
    calls = [asyncio.ensure_future(put(redis_client, key=name, value=name)) for name in names]
    broken = asyncio.ensure_future(fail(redis_client, key=text))
    calls[3].cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(answers[3], asyncio.CancelledError)
    assert answers[:3] + answers[4:] == names[:3] + names[4:]
    with pytest.raises(ResponseError, match="not an integer"):
        await broken


async def test_a_primary_that_hangs_leaves_nobody_waiting(
    primary: NetworkServer, redis_client: RedisClient
) -> None:
    """Who waits for an acknowledgement is told when the connection is given up."""
    await put(redis_client, key=key(), value=b"x")
    primary.freeze()
    calls = [put(redis_client, key=key(), value=b"x") for _ in range(20)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    primary.resume()
    assert {type(outcome).__name__ for outcome in outcomes} == {"StoreUnavailable"}
    assert await put(redis_client, key=key(), value=b"y") == b"y"


async def test_what_is_written_to_be_acknowledged_goes_again(
    primary: NetworkServer, redis_client: RedisClient
) -> None:
    """It has a life, so it is no key for ever."""
    await find_nothing(redis_client, key=key())
    with primary.client() as client:
        assert 0 < client.pttl(BARRIER.encode() + b"{00}") <= 60_000


async def test_heartbeats_stop_with_the_replica(
    redis_client: RedisClient, primary: NetworkServer, replica: NetworkServer
) -> None:
    """A primary that no replica follows gets none, though it takes changes and answers reads."""
    beat = numbered(0).beat
    with primary.client() as client:

        def newest() -> Any:
            return client.xrevrange(beat, count=1)

        async def is_new(before: Any) -> bool:
            return newest() != before

        beating = asyncio.create_task(Heartbeats(redis_client, on=True).run())
        for _ in range(2):
            before = newest()
            await eventually(lambda before=before: is_new(before))
        replica.freeze()
        with pytest.raises(RevocationUnconfirmed):
            await put(redis_client, key=key(), value=b"x")
        last = newest()
        for _ in range(2):  # as long as two heartbeats take
            with pytest.raises(RevocationUnconfirmed):
                await put(redis_client, key=key(), value=b"x")
        assert newest() == last
        replica.resume()
        await eventually(lambda: is_new(last))
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
