"""API keys as a process knows them: right ones cost nothing, wrong ones little, and ends count."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from tools.testbed.parts import CLIENT, PATIENTLY
from tools.testbed.redis_server import RedisServer

from service.api_keys import tokens
from service.api_keys.administration import ApiKeyAdministration, NewKey
from service.api_keys.keys import ApiKey
from service.api_keys.store import ApiKeyStore, StoredKey
from service.api_keys.verification import GOOD_FOR, LOOKED_UP_EACH, WITHOUT_STORE, ApiKeys
from service.clock import system_clock
from service.errors import InvalidApiKey, StoreUnavailable, TooManyAttempts
from service.rate_limits import Limit, Limits, RateLimits
from service.redis.client import RedisClient
from service.redis.keys import bucket
from tests.support.looking import ON_VALKEY
from tests.support.user_stores import SqliteStore

pytestmark = ON_VALKEY
FEW = Limits(api_keys=Limit("api-keys", 3, timedelta(minutes=1)))


class CountingStore(ApiKeyStore):
    """The real store; counts what it is asked, and can be away."""

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(engine)
        self.asked = 0
        self.away = False

    async def find(self, key_id: bytes) -> StoredKey | None:
        self.asked += 1
        if self.away:
            raise StoreUnavailable
        return await super().find(key_id)


class Desk:
    """A process that is shown keys, and an operator who makes and revokes them."""

    def __init__(self, redis: RedisClient, store: CountingStore) -> None:
        self.store = store
        self.seconds = 0.0
        self.ahead = timedelta(0)
        self.admin = ApiKeyAdministration(redis, store, system_clock)
        limits = RateLimits(redis, b"digest key", FEW)
        self.keys = ApiKeys(store, limits, self.clock, lambda: self.seconds)

    def clock(self) -> datetime:
        return system_clock() + self.ahead

    async def made(self, expires_at: datetime | None = None) -> NewKey:
        return await self.admin.create(
            "a gateway", ("introspect",), expires_at, CLIENT, by="cli", reason="why"
        )

    async def verify(self, text: str) -> ApiKey:
        return await self.keys.verify(text, lambda: CLIENT)


@pytest.fixture
async def desk(keys: RedisServer, tmp_path: Path) -> AsyncIterator[Desk]:
    redis, engine = RedisClient(keys.url, timing=PATIENTLY), SqliteStore(tmp_path).open()
    desk = Desk(redis, CountingStore(engine))
    yield desk
    await desk.keys.aclose()
    await redis.aclose()
    await engine.dispose()


async def test_a_key_is_looked_up_seldom(desk: Desk) -> None:
    """Once, then beside the requests; none of a hundred waits for the store."""
    made = await desk.made()
    assert (await desk.verify(made.text)).scopes == ("introspect",)
    for _ in range(100):
        await desk.verify(made.text)
    assert desk.store.asked == 1
    desk.seconds = LOOKED_UP_EACH
    desk.store.away = True
    for _ in range(100):
        await desk.verify(made.text)
    await desk.keys.aclose()
    assert desk.store.asked == 2


async def test_many_show_a_right_key_at_once(desk: Desk) -> None:
    """To a process that does not know it yet: it is looked up once, and counts as one."""
    made = await desk.made()
    found = await asyncio.gather(*(desk.verify(made.text) for _ in range(20)))
    assert {key.id for key in found} == {made.key.id}
    assert desk.store.asked == 1


async def test_revoked(desk: Desk) -> None:
    """It is good nowhere after two seconds; revoked again it is told nothing of."""
    made = await desk.made()
    await desk.verify(made.text)
    for changed in (True, False):
        key = await desk.admin.find(made.key.id)
        assert await desk.admin.revoke(key, CLIENT, by="cli", reason="lost") is changed
    desk.seconds = GOOD_FOR
    for _ in range(2):
        with pytest.raises(InvalidApiKey):
            await desk.verify(made.text)


async def test_a_key_that_is_used_all_the_time_is_revoked_as_well(desk: Desk) -> None:
    """Whoever looks it up beside a request tells all that come after."""
    made = await desk.made()
    await desk.verify(made.text)
    await desk.admin.revoke(made.key, CLIENT, by="cli", reason="lost")
    desk.seconds = LOOKED_UP_EACH
    await desk.verify(made.text)
    await desk.keys.aclose()
    with pytest.raises(InvalidApiKey):
        await desk.verify(made.text)


async def test_expired(desk: Desk) -> None:
    """At once, also where it was right a moment ago."""
    made = await desk.made(system_clock() + timedelta(minutes=1))
    await desk.verify(made.text)
    desk.ahead = timedelta(minutes=1)
    with pytest.raises(InvalidApiKey):
        await desk.verify(made.text)


async def test_without_the_store(desk: Desk) -> None:
    """A key that was right goes on for a minute, and no longer; others are not known."""
    made, other = await desk.made(), await desk.made()
    await desk.verify(made.text)
    desk.store.away = True
    with pytest.raises(StoreUnavailable):
        await desk.verify(other.text)
    for desk.seconds in (GOOD_FOR, 20.0, WITHOUT_STORE - 1):
        await desk.verify(made.text)
    desk.seconds = WITHOUT_STORE
    with pytest.raises(StoreUnavailable):
        await desk.verify(made.text)
    desk.store.away = False
    await desk.verify(made.text)


async def test_wrong_ones(desk: Desk) -> None:
    """Junk asks no store; after so many others none is looked at, but for those that are known."""
    made, other = await desk.made(), await desk.made()
    await desk.verify(made.text)
    for text in ("", "osk_" + "A" * 60, made.text[:-1] + "!", made.text.upper()):
        for _ in range(5):
            with pytest.raises(InvalidApiKey):
                await desk.verify(text)
    assert desk.store.asked == 1
    outcomes = await asyncio.gather(
        *(desk.verify(tokens.mint().text) for _ in range(20)), return_exceptions=True
    )
    assert sum(isinstance(each, InvalidApiKey) for each in outcomes) == 3
    assert sum(isinstance(each, TooManyAttempts) for each in outcomes) == 17
    assert desk.store.asked == 4
    with pytest.raises(TooManyAttempts):
        await desk.verify(other.text)
    desk.seconds = GOOD_FOR
    await desk.verify(made.text)


async def test_the_id_of_another_with_a_secret_of_ones_own(desk: Desk) -> None:
    """Is wrong: the digest decides, not the id, which is no secret."""
    made = await desk.made()
    body = b"\x01" + made.key.id + bytes(32)
    secret = body + tokens._checksum(body)
    with pytest.raises(InvalidApiKey):
        await desk.verify(tokens.opaque_tokens.spell("osk_", secret))


async def test_its_use_is_noted_lazily(desk: Desk) -> None:
    """Once a minute at the most, and nobody waits."""
    made = await desk.made()
    await desk.verify(made.text)
    await desk.keys.aclose()
    [key] = await desk.admin.all()
    assert key.last_used_at is not None
    desk.seconds = LOOKED_UP_EACH
    await desk.verify(made.text)
    await desk.keys.aclose()
    [again] = await desk.admin.all()
    assert again.last_used_at == key.last_used_at


async def test_nothing_at_rest_tells_the_key(desk: Desk, keys: RedisServer, tmp_path: Path) -> None:
    """Neither the database nor Redis has its text or its random bits; each change is an event."""
    made = await desk.made()
    await desk.verify(made.text)
    await desk.admin.revoke(made.key, CLIENT, by="cli", reason="lost")
    secret = made.text[20:50].encode()
    assert secret not in SqliteStore(tmp_path).bytes_on_disk()
    with keys.client() as client:
        rows = client.xrange(bucket(made.key.id).events)
    told = [{name.decode(): value.decode() for name, value in row.items()} for _, row in rows]
    assert [row["type"] for row in told] == ["apiKey.created", "apiKey.revoked"]
    assert {row["key"] for row in told} == {made.key.id.hex()}
    assert (told[1]["reason"], told[1]["by"], told[1]["user"]) == ("lost", "cli", "")
    assert secret.decode() not in str(told) + repr(made)
