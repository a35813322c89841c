"""Each process runs a shipper for each party that is registered, and for no other one."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from tools.testbed.access import SERVICE
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import eventually

from service.clock import system_clock
from service.errors import StoreUnavailable
from service.redis.client import RedisClient
from service.redis.keys import BUCKETS
from service.relying_parties import following
from service.relying_parties.administration import NewRelyingParty, RelyingPartyAdministration
from service.relying_parties.following import RelyingPartyShippers
from service.relying_parties.parties import RelyingParty
from service.relying_parties.store import RelyingPartyStore
from service.sessions.origin import RequestOrigin
from service.sinks.shipper import Shipper
from service.sinks.tails import Tails
from tests.events.conftest import write
from tests.sinks.shipping import ListSink, Told, sign
from tests.support.looking import ON_VALKEY
from tests.support.sqlite_threads import sqlite_threads_end  # noqa: F401  autouse
from tests.support.user_stores import SqliteStore

pytestmark = ON_VALKEY

ANN = b"\x05" + bytes(15)
BY = {"by": "cli", "reason": "so"}
ORIGIN = RequestOrigin(None, "", "request-1")


class Process:
    """What a process has running for relying parties, with sinks that keep what they get."""

    def __init__(self, redis: RedisClient, engine: AsyncEngine) -> None:
        self.off = timedelta(0)
        self.sinks: dict[str, ListSink] = {}
        self.names: list[str] = []
        self.counts = Told()
        store = RelyingPartyStore(engine)
        self.parties = RelyingPartyAdministration(redis, store, system_clock, ())
        self.shippers = RelyingPartyShippers(
            store, redis, self.now, self._create, self.counts, self.names
        )
        self._redis = redis

    def now(self) -> datetime:
        return datetime.now(UTC) + self.off

    def _create(self, party: RelyingParty, tails: Tails) -> Shipper:
        sink = self.sinks[party.client_id] = ListSink()
        sink.name = party.sink
        return Shipper(self._redis, sink, b"a", sign, self.counts, tails)

    async def register(self, client: str) -> RelyingParty:
        new = NewRelyingParty(client, "https://shop.example/")
        return (await self.parties.create(new, ORIGIN, **BY))[0]

    async def gets(self, client: str, event: str) -> None:
        async def has_arrived() -> bool:
            return client in self.sinks and event in self.sinks[client].arrived

        await eventually(has_arrived)


@pytest.fixture
async def process(keys: RedisServer, tmp_path: Path) -> AsyncIterator[Process]:
    redis = RedisClient(keys.url_of(SERVICE), timing=PATIENTLY)
    engine = SqliteStore(tmp_path).open()
    process = Process(redis, engine)
    yield process
    await process.shippers._stop(*process.shippers._running)
    await process.shippers._follow(False)
    await redis.aclose()
    await engine.dispose()


async def test_it_follows_the_table(process: Process, keys: RedisServer) -> None:
    """New ones are told, removed ones no more; with the last one the looking for news ends."""
    shop, news = await process.register("shop"), await process.register("news")
    await process.shippers.look()
    assert sorted(process.names) == sorted((shop.sink, news.sink))
    for client in ("shop", "news"):
        await process.gets(client, write(keys, ANN, "user.loggedOut"))
    await process.parties.remove(shop, ORIGIN, **BY)
    await process.shippers.look()
    assert process.names == [news.sink]
    again = write(keys, ANN, "user.loggedOut")
    await process.gets("news", again)
    assert again not in process.sinks["shop"].arrived
    await process.parties.remove(news, ORIGIN, **BY)
    process.counts.last_lag = 500.0
    await process.shippers.look()
    assert process.names == []
    assert process.shippers._following is None
    assert process.counts.last_lag == 0


async def test_without_the_user_store_it_goes_on(
    process: Process, keys: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with what it knew."""
    await process.register("shop")
    await process.shippers.look()

    async def fails(_: object) -> None:
        raise StoreUnavailable("the user store cannot be reached")

    monkeypatch.setattr(RelyingPartyStore, "all", fails)
    with pytest.raises(StoreUnavailable):
        await process.shippers.look()
    await process.gets("shop", write(keys, ANN, "user.loggedOut"))


@pytest.mark.parametrize("off", [timedelta(seconds=-70), timedelta(seconds=70)])
async def test_who_is_out_of_time_leaves_it_to_others(
    process: Process, keys: RedisServer, off: timedelta
) -> None:
    """Parties would refuse tokens of its time. Once it is in time it goes on."""
    await process.register("shop")
    process.off = off
    await process.shippers.look()
    assert process.names == []
    process.off = timedelta(0)
    await process.shippers.look()
    await process.gets("shop", write(keys, ANN, "user.loggedOut"))
    process.off = off
    await process.shippers.look()
    assert process.names == []


async def test_who_has_failed_begins_anew(process: Process, keys: RedisServer) -> None:
    """A task that a defect has ended does not stay away."""
    await process.register("shop")
    await process.shippers.look()
    [task] = process.shippers._running.values()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await process.shippers.look()
    await process.gets("shop", write(keys, ANN, "user.loggedOut"))


async def test_what_redis_has_lost_it_is_told_again(
    process: Process, keys: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That there are parties, at the next look: so that events name sessions again, as after
    FLUSHALL or a failover. And now and then, as it forgets it in a day."""
    await process.register("shop")
    with keys.client() as client:
        for lost in ("events:*:parties", "events:{07}:parties"):
            await process.shippers.look()
            assert len(client.keys("events:*:parties")) == BUCKETS
            client.delete(*client.keys(lost))
        await process.shippers.look()
        assert len(client.keys("events:*:parties")) == BUCKETS
        client.expire("events:{07}:parties", 60)
        await process.shippers.look()
        assert client.ttl("events:{07}:parties") <= 60
        monkeypatch.setattr(following, "_MARK_EVERY", 0.0)
        process.shippers._mark_at = 0.0
        await process.shippers.look()
        assert client.ttl("events:{07}:parties") > 60
