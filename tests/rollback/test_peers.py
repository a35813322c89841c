"""What one process alone knows reaches the others through Redis, before they serve from it again,
whatever the user store does meanwhile."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, closing, suppress
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine
from tools.testbed.cluster import Cluster
from tools.testbed.redis_copy import RedisCopy
from tools.testbed.redis_server import RedisServer, available
from tools.testbed.waiting import PATIENCE, eventually

from service.database.tables import leases
from service.errors import StoreUnavailable
from service.redis.keys import numbered
from service.redis.refusals import FenceUnknown
from service.rollback import peers
from service.rollback.presence import Presence
from tests.rollback.pod import Opened, Pod, bucket_of, told

pytestmark = pytest.mark.parametrize("new_user_store", ["sqlite"], indirect=True)

NewPod = Callable[[], Awaitable[Pod]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One of its own, as it is started anew."""
    server = RedisServer(available()["valkey"], tmp_path_factory.mktemp("redis"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
async def running(server: RedisServer, engine: AsyncEngine) -> AsyncIterator[NewPod]:
    """Makes pods on it that say that they run."""
    async with AsyncExitStack() as stack:

        async def make() -> Pod:
            pod = Pod(server.url, engine)
            stack.push_async_callback(pod.aclose)
            await pod.watch.start(PATIENCE)
            await pod.rollback.start_serving()
            return pod

        yield make


async def goes_back(server: RedisServer, pod: Pod, copy: RedisCopy) -> tuple[Opened, Opened]:
    """Put a server back to before a logout that only this pod has answered for. Return the session,
    and one of another bucket."""
    ended = await pod.open()
    other = await pod.open(bytes([bucket_of(ended) ^ 1]) * 16)
    copy.take(server, as_dump=False)
    assert await pod.end(ended) == 1
    server.kill()
    copy.put_back(server)
    server.start()
    return ended, other


async def starts_anew(server: RedisServer, *pods: Pod) -> None:
    """Start a server anew, and have pods notice that it has gone."""
    server.kill()
    server.start()
    for pod in pods:
        await pod.leave()


async def test_what_another_alone_knows(
    server: RedisServer, running: NewPod, engine: AsyncEngine
) -> None:
    """Restored to before a logout, with the user store locked: nobody serves it, then or later."""
    copy = RedisCopy(server.directory / "copy")
    pod, other = await running(), await running()
    with closing(sqlite3.connect(str(engine.url.database).removeprefix("file:"))) as locks:
        ended, elsewhere = await goes_back(server, pod, copy)
        await other.leave()
        locks.execute("BEGIN IMMEDIATE")
        assert await other.lives(ended) == "rollback"
        assert await other.lives(elsewhere) == "rollback", "it may have gone back there, too"
        assert "not all processes" in other.rollback.problem
        with pytest.raises(FenceUnknown):
            await other.rollback._least()

        await pod.leave()
        assert await pod.lives(ended) == "rollback"
        await other.watch.look()
        assert await other.lives(ended) == "rollback"
        assert "1 of 64 buckets" in other.rollback.problem
        assert await other.lives(elsewhere) is await pod.lives(elsewhere) is True
        locks.rollback()
    await other.settle()
    await pod.watch.look()
    for each in (pod, other, await running()):
        assert await each.lives(ended) is False
        assert await each.lives(elsewhere) is True
    with server.client() as client:
        assert client.get(numbered(bucket_of(ended)).revocations) == b"1"
    assert told(server, bucket_of(ended), "redis.wentBack")


async def test_who_does_not_come_back(
    server: RedisServer, running: NewPod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not waited for but for a while; who has said that it ends is not waited for at all."""
    killed, ended, pod = await running(), await running(), await running()
    session = await pod.open()
    await ended.watch.presence.end()
    monkeypatch.setattr(peers, "PATIENCE", 1.0)
    await starts_anew(server, pod)
    assert await pod.lives(session) == "rollback"
    (wait,) = pod.watch._peers._waits.values()
    assert set(wait.until) == {killed.store.owner}

    async def serves() -> bool:
        await pod.watch.look()
        return await pod.lives(session) is True

    await eventually(serves)
    monkeypatch.undo()
    assert await (await running()).lives(session) == "rollback", "nor has it told since"


async def test_what_is_no_number(server: RedisServer, running: NewPod) -> None:
    """What somebody has forged there raises nothing, and is no hindrance."""
    pod, other = await running(), await running()
    session = await pod.open()
    await starts_anew(server, pod, other)
    with server.client() as client:
        run_id = str(client.info("server")["run_id"])
        forged = f"{run_id} 0:{2**60} 1:{2**64} 2:1{'0' * 5000} 3:-1 x:1 64:1 4"
        client.set(numbered(0).joined + other.store.owner, forged)
    assert await pod.lives(session) is True
    assert not any(pod.watch.expected())


async def test_who_runs_is_not_known(
    server: RedisServer, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is served before that was read: all others might be forgotten."""

    async def away(_: Presence) -> dict[bytes, float]:
        raise StoreUnavailable

    pod = Pod(server.url, engine)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(Presence, "others", away)
            await pod.watch.start(PATIENCE)
            with pytest.raises(StoreUnavailable):
                await pod.link.execute("GET", numbered(0).revocations)
        assert await pod.lives(await pod.open()) is True
    finally:
        await pod.aclose()


async def test_who_is_overdue(
    server: RedisServer, running: NewPod, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was killed, most likely, so it is waited for for less."""
    monkeypatch.setattr(peers, "OVERDUE", 10.0)  # as this machine may be slow
    killed, pod, other = await running(), await running(), await running()
    session = await pod.open()
    async with engine.begin() as connection:
        late = leases.c.owner == killed.store.owner
        earlier = update(leases).where(late).values(until=leases.c.until - 25_000)
        await connection.execute(earlier)
    await starts_anew(server, pod)
    assert await pod.lives(session) == "rollback"
    (wait,) = pod.watch._peers._waits.values()
    assert wait.until[killed.store.owner] < wait.until[other.store.owner] - 3


async def test_after_an_emptying(server: RedisServer, running: NewPod) -> None:
    """Who starts after a FLUSHALL, of which no connection has broken, waits for nobody for long."""
    pod = await running()
    with server.client() as client:
        client.flushall()
    await pod.watch.look()
    late = await running()
    assert await late.lives(await late.open()) is True


async def test_while_it_takes_no_writes(server: RedisServer, running: NewPod) -> None:
    """A server that is full is read from all the same, once the others were waited for."""
    pod, other = await running(), await running()
    session = await pod.open()
    await starts_anew(server, pod, other)
    with server.client() as client:
        client.config_set("min-replicas-to-write", 1)
        assert await pod.lives(session) == "rollback"
        assert await other.lives(session) == "rollback"
        client.config_set("min-replicas-to-write", 0)
    for each in (pod, other, pod):
        await each.watch.look()
    assert await pod.lives(session) is await other.lives(session) is True


async def test_in_a_cluster(
    engine: AsyncEngine,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each bucket has its own keys, and is served as soon as all have told of it."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), primaries=1)
    pods = []
    try:
        cluster.start()
        for _ in range(2):
            pods.append(Pod(cluster.url, engine))
            await pods[-1].watch.start(PATIENCE)
            await pods[-1].rollback.start_serving()
        pod, other = pods
        session = await pod.open()
        assert await other.lives(session) is True
        [node] = cluster.nodes
        node.kill()
        node.start()

        async def is_refused() -> bool:
            with suppress(StoreUnavailable):  # not yet, or as a cluster that is down
                return await pod.lives(session) == "rollback"
            return False

        await eventually(is_refused)
        assert len(pod.rollback.fence.awaited) == 64
        await eventually(lambda: looked(other))
        await pod.watch.look()
        assert await pod.lives(session) is await other.lives(session) is True

        # As if the bucket had been elsewhere, and come with its slot.
        bucket = bucket_of(session)
        key = numbered(bucket).joined + pod.store.owner
        with node.client() as client:
            before = client.getset(key, "elsewhere")
            pod.watch._peers._told[bucket] = peers._Told("elsewhere")
            (known,) = await pod.own._topology.primaries()
            await pod.rollback.check_own_buckets(known, [bucket])
            assert client.get(key) == before
        counted = Counted(known.ask)
        monkeypatch.setattr(known, "ask", counted)
        await pod.rollback.check_own_buckets(known, range(64))
        assert counted.most == 64, "buckets that are gained wait for each other"
    finally:
        for each in pods:
            await each.aclose()
        cluster.stop()


class Counted:
    """Passes commands on, and counts how many are under way at most."""

    def __init__(self, ask: Callable[..., Awaitable[Any]]) -> None:
        self.ask = ask
        self.under_way = self.most = 0

    async def __call__(self, *arguments: Any) -> Any:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            return await self.ask(*arguments)
        finally:
            self.under_way -= 1


async def looked(pod: Pod) -> bool:
    """Have a pod connect and look, and tell whether it could."""
    try:
        await pod.link.execute("GET", numbered(0).revocations)
        await pod.watch.look()
    except StoreUnavailable:
        return False
    return True
