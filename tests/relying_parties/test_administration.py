"""Registering relying parties: how many there may be, and what is told if it fails half-way."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tools.testbed.access import SERVICE
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import RedisServer

from service.clock import system_clock
from service.errors import (
    RelyingPartyExists,
    RelyingPartyNotFound,
    StoreUnavailable,
    TooManyRelyingParties,
)
from service.redis.client import RedisClient
from service.redis.keys import BUCKETS
from service.relying_parties.administration import NewRelyingParty, RelyingPartyAdministration
from service.relying_parties.parties import MOST, RelyingParty
from service.relying_parties.store import RelyingPartyStore
from service.sessions.origin import RequestOrigin
from tests.support.looking import ON_VALKEY
from tests.support.user_stores import UserStore

ORIGIN = RequestOrigin(None, "", "request-1")
URI = "https://shop.example/logout"


@pytest.fixture
async def redis(keys: RedisServer) -> AsyncIterator[RedisClient]:
    """A client as the service's user of redis.conf."""
    client = RedisClient(keys.url_of(SERVICE), timing=PATIENTLY)
    yield client
    await client.aclose()


@pytest.fixture
async def parties(
    redis: RedisClient, user_store: UserStore
) -> AsyncIterator[RelyingPartyAdministration]:
    engine = user_store.open()
    yield RelyingPartyAdministration(redis, RelyingPartyStore(engine), system_clock, ())
    await engine.dispose()


async def create(
    parties: RelyingPartyAdministration, client: str, **values: object
) -> tuple[RelyingParty, bool]:
    new = NewRelyingParty(client, **({"backchannel_logout_uri": URI} | values))  # type: ignore[arg-type]
    return await parties.create(new, ORIGIN, by="cli", reason="so")


def told(server: RedisServer) -> list[tuple[str, str]]:
    """Types and clients of all events."""
    with server.client() as client:
        rows = [row for each in client.keys("events:{??}") for _, row in client.xrange(each)]
    return sorted((row[b"type"].decode(), row[b"client"].decode()) for row in rows)


@ON_VALKEY
async def test_so_many_and_no_more(
    parties: RelyingPartyAdministration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """32 in all, also if more come at once; there is room again when one goes."""
    assert MOST == 32
    few = 6
    for module in ("administration", "store"):
        monkeypatch.setattr(f"service.relying_parties.{module}.MOST", few)
    for number in range(few - 2):
        await create(parties, f"shop{number}")
    last = (create(parties, f"last{number}") for number in range(4))
    outcomes = await asyncio.gather(*last, return_exceptions=True)
    refused = [each for each in outcomes if isinstance(each, BaseException)]
    assert [type(each) for each in refused] == [TooManyRelyingParties] * 2
    everybody = await parties.all()
    assert len(everybody) == few
    await parties.remove(everybody[3], ORIGIN, by="cli", reason="so")
    assert (await create(parties, "another"))[1]
    with pytest.raises(TooManyRelyingParties):
        await create(parties, "one-more")


@ON_VALKEY
async def test_several_at_once_are_one(
    parties: RelyingPartyAdministration, keys: RedisServer
) -> None:
    """Of those that say the same all succeed, of others one; there is one registration."""
    same = await asyncio.gather(*(create(parties, "shop") for _ in range(4)))
    assert len({party.id for party, _ in same}) == 1
    others = (create(parties, "news", session_required=bool(each % 2)) for each in range(4))
    outcomes = await asyncio.gather(*others, return_exceptions=True)
    assert any(isinstance(each, RelyingPartyExists) for each in outcomes)
    assert sorted(party.client_id for party in await parties.all()) == ["news", "shop"]
    assert ("relyingParty.created", "shop") in told(keys)


@ON_VALKEY
async def test_none_is_left_untold(
    parties: RelyingPartyAdministration, keys: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails half-way is told before it is done, and can be done again."""

    async def fails(*_: object) -> None:
        raise StoreUnavailable("the user store cannot be reached")

    with monkeypatch.context() as broken:
        broken.setattr(RelyingPartyStore, "add", fails)
        with pytest.raises(StoreUnavailable):
            await create(parties, "shop")
    assert not await parties.all()
    assert told(keys) == [("relyingParty.created", "shop")]
    party, changed = await create(parties, "shop")
    assert changed
    with monkeypatch.context() as broken:
        broken.setattr(RelyingPartyStore, "remove", fails)
        with pytest.raises(StoreUnavailable):
            await parties.remove(party, ORIGIN, by="cli", reason="so")
    assert await parties.all() == [party]
    await parties.remove(party, ORIGIN, by="cli", reason="so")
    assert await parties.find("shop") is None


@ON_VALKEY
@pytest.mark.parametrize("text", ["shop", "", "sh\0op", "sh\udcffop", "x" * 3_000])
async def test_there_never_was_one(parties: RelyingPartyAdministration, text: str) -> None:
    """Also where the text can be no client id, nor any text of a database."""
    with pytest.raises(RelyingPartyNotFound):
        await parties.find(text)


@ON_VALKEY
async def test_events_name_sessions_from_then_on(
    parties: RelyingPartyAdministration, keys: RedisServer
) -> None:
    """Before it answers, each bucket has the mark by which cut-offs name them, for a day."""
    with keys.client() as client:
        assert not client.keys("events:*:parties")
        await create(parties, "shop")
        marks = client.keys("events:*:parties")
        assert len(marks) == BUCKETS
        assert all(86_000 < client.ttl(mark) <= 86_400 for mark in marks)
