"""What `openshow-auth doctor` says of sinks."""

import ipaddress
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tools.testbed.access import SERVICE
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import RedisServer

from service.cli.doctor.findings import Finding
from service.cli.doctor.relying_parties import registered
from service.cli.doctor.sinks import check_sinks
from service.redis.client import RedisClient
from service.relying_parties.store import RelyingPartyStore
from service.settings import Settings
from service.sinks.files import FileSink
from service.sinks.webhooks import webhook_name
from tests.events.conftest import write
from tests.relying_parties.parties import party_at
from tests.sinks.receiver import listening
from tests.sinks.shipping import bring, shipper
from tests.support.looking import ON_VALKEY
from tests.support.user_stores import SqliteStore

pytestmark = ON_VALKEY

ANN = b"\x05" + bytes(15)
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


@pytest.fixture
async def redis(keys: RedisServer) -> AsyncIterator[RedisClient]:
    client = RedisClient(keys.url_of(SERVICE), timing=PATIENTLY)
    yield client
    await client.aclose()


async def checked(keys: RedisServer, **sinks: Any) -> list[Finding]:
    return await check_sinks(Settings(redis_url=keys.url_of(SERVICE), **sinks))


async def test_without_sinks_there_is_nothing_to_say(keys: RedisServer) -> None:
    """Redis is not even asked."""
    assert await checked(keys) == []


async def test_how_far_a_sink_has_got(
    keys: RedisServer, redis: RedisClient, tmp_path: Path
) -> None:
    """Nobody brings events on; all is there; then something has waited for long; then parked."""
    path = tmp_path / "events.jsonl"
    write(keys, ANN, "x")
    [nobody] = await checked(keys, sink_file=path)
    assert nobody.state == "fault"
    assert nobody.message == "File: no process brings on 64 of 64 streams."
    one = shipper(redis, FileSink(path))
    await bring(one)
    [well] = await checked(keys, sink_file=path)
    assert (well.state, well.message) == (
        "ok", "File has all events; 1 process brings them on.",
    )  # fmt: skip
    with keys.client() as client:
        client.delete("events:{05}")
        state = "events:{05}:sink:file"
        client.hset(state, mapping={"cursor": "1-0", "parked": 3})
    write(keys, ANN, "x", "60-0")
    parked, late = await checked(keys, sink_file=path)
    assert (parked.state, parked.message) == (
        "warning", "File: 3 events were parked, after too many failures.",
    )  # fmt: skip
    assert "events replay file" in parked.advice
    assert late.message.endswith("s behind, in 1 streams.")
    await one.aclose()


async def test_relying_parties_are_sinks(keys: RedisServer, tmp_path: Path) -> None:
    """Each is connected to, and looked at, by the name that `relying-parties list` prints."""
    store = SqliteStore(tmp_path)
    engine = store.open()
    async with listening() as endpoint:
        await RelyingPartyStore(engine).add(party_at(endpoint))
        await engine.dispose()
        [party] = await registered(store.url)
        settings = Settings(redis_url=keys.url_of(SERVICE), sink_networks=LOOPBACK)
        [nobody] = await check_sinks(settings, [party])
        said = f"{party.sink}: no process brings on 64 of 64 streams."
        assert (nobody.state, nobody.message.lower()) == ("warning", said)
        assert endpoint.received == []
    down, _ = await check_sinks(settings, [party])
    assert down.message.lower() == f"{party.sink} cannot be reached: the connection failed."
    assert await registered("sqlite:////nowhere/service.db") == ()
    store.ask("DROP TABLE relying_parties")
    assert await registered(store.url) == ()


async def test_what_cannot_be_reached(keys: RedisServer, tmp_path: Path) -> None:
    """A file in no directory, a receiver that is down, one that must not be called."""
    async with listening() as endpoint:
        url = endpoint.url
        forbidden = await checked(keys, sink_webhooks=(url,))
        assert any(
            each.state == "fault" and "must not be called" in each.message for each in forbidden
        )
        up = await checked(keys, sink_webhooks=(url,), sink_networks=LOOPBACK)
        assert [each.state for each in up] == ["warning"], "nobody brings them on, that is all"
        assert endpoint.received == []
    down = await checked(
        keys,
        sink_webhooks=(url,),
        sink_networks=LOOPBACK,
        sink_file=tmp_path / "none" / "events.jsonl",
    )
    faults = [each.message for each in down if each.state == "fault"]
    assert faults[0].endswith("cannot be written to.")
    assert faults[1].lower() == f"{webhook_name(url)} cannot be reached: the connection failed."
