"""What is new in the streams, known for all who wait for it: never less than there is."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tools.testbed.access import SERVICE
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import RedisServer

from service.events.event import Position
from service.redis.client import RedisClient
from service.sinks import tails as module
from service.sinks.shipper import Shipper
from service.sinks.tails import Tails
from tests.events.conftest import write
from tests.sinks.shipping import ListSink, Told, bring, sign
from tests.support.looking import ON_VALKEY

pytestmark = ON_VALKEY

ANN = b"\x05" + bytes(15)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow this machine is, what was looked at counts."""
    monkeypatch.setattr(module, "_GOOD_FOR", 600.0)


@pytest.fixture
async def redis(keys: RedisServer) -> AsyncIterator[RedisClient]:
    """A client as the service's user of redis.conf."""
    client = RedisClient(keys.url_of(SERVICE), timing=PATIENTLY)
    yield client
    await client.aclose()


async def test_news(keys: RedisServer, redis: RedisClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be some unless it is known that there are none: not yet, not now, not any more."""
    entries = [Position.parse(write(keys, ANN, "x", f"{ms}-{n}")).entry
               for ms, n in ((9, 1), (10, 2), (10, 11))]  # fmt: skip
    tails = Tails(redis)
    assert tails.has_news(5, entries[-1])
    await tails.look()
    assert [tails.has_news(5, entry) for entry in ("0-0", *entries)] == [True, True, True, False]
    assert not tails.has_news(6, "0-0")
    assert not tails.has_news(5, "11-0"), "it begins with what comes"
    with monkeypatch.context() as later:
        later.setattr(module, "_GOOD_FOR", -1.0)
        assert tails.has_news(5, entries[-1])
    with keys.client() as client:
        client.execute_command("ACL SETUSER", SERVICE, "-xrevrange")
        try:
            await tails.look()
        finally:
            client.execute_command("ACL SETUSER", SERVICE, "+xrevrange")
    assert tails.has_news(5, entries[-1])


@pytest.mark.parametrize("itself", [False, True])
async def test_who_has_nothing_to_do_asks_nothing(
    keys: RedisServer, redis: RedisClient, itself: bool
) -> None:
    """A shipper reads where there is news, and nowhere else; what comes it brings on. It looks for
    news `itself` where nobody does for it."""
    sink, tails = ListSink(), Tails(redis)
    one = Shipper(redis, sink, b"a", sign, Told(), None if itself else tails)
    ids = [write(keys, ANN, "x") for _ in range(3)]
    await tails.look()
    await bring(one, looks=2)
    assert sink.arrived == ids

    def reads() -> int:
        with keys.client() as client:
            stats: dict[str, Any] = client.info("commandstats")
        calls: int = stats.get("cmdstat_xrange", {"calls": 0})["calls"]
        return calls

    await tails.look()
    before = reads()
    await bring(one, looks=5)
    assert reads() == before
    ids.append(write(keys, ANN, "x"))
    await tails.look()
    await bring(one)
    assert sink.arrived == ids
    assert reads() - before == 2, "until there is nothing more"
