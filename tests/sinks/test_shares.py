"""Sharing the streams: each process brings on about as many, whoever comes and goes."""

import random
from collections.abc import AsyncIterator

import pytest
from tools.testbed.access import SERVICE
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import RedisServer

from service.redis.client import RedisClient
from service.sinks import shipper as shipping, tails
from service.sinks.shipper import Shipper
from tests.events.conftest import write
from tests.sinks.shipping import ListSink, bring, in_order, shipper
from tests.support.looking import ON_VALKEY

pytestmark = ON_VALKEY

USERS = [bytes([number]) + bytes(15) for number in range(64)]


@pytest.fixture
async def redis(keys: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RedisClient]:
    """A client as the service's user of redis.conf, for shippers that ask at every look, and to
    whom what was looked at counts, however slow this machine is."""
    monkeypatch.setattr(shipping, "_ELSEWHERE", 0)
    monkeypatch.setattr(tails, "_GOOD_FOR", 600.0)
    client = RedisClient(keys.url_of(SERVICE), timing=PATIENTLY)
    yield client
    await client.aclose()


_ENOUGH = 300
"""Looks after which all have found what is theirs, though each tries a few leases at random."""


async def settled(*shippers: Shipper) -> list[int]:
    """Look until all streams are held and nobody has too many; return how many each holds."""
    for _ in range(_ENOUGH):
        await bring(*shippers)
        counts = sorted(map(held, shippers))
        if sum(counts) == 64 and counts[-1] - counts[0] <= 1:
            return counts
    raise AssertionError(f"the streams are held unevenly: {counts}")


def held(of: Shipper) -> int:
    """How many streams it has the leases of."""
    return sum(stream.left() > 0 for stream in of._streams)


async def test_who_comes_later_gets_its_share(keys: RedisServer, redis: RedisClient) -> None:
    """While events come in, the others give up what is its: none is lost, or overtakes another."""
    sink, ids, pods = ListSink(), [], []
    for owner, shares in ((b"b", [64]), (b"c", [32, 32]), (b"a", [21, 21, 22])):
        pods.append(shipper(redis, sink, owner))
        for _ in range(_ENOUGH):
            ids += [write(keys, random.choice(USERS), "x") for _ in range(2)]
            await bring(*pods)
            if sorted(map(held, pods)) == shares:
                break
        assert sorted(map(held, pods)) == shares
    assert sorted(sink.arrived) == sorted(ids)
    assert in_order(sink.arrived)


async def test_who_ends_in_order_gives_all_back_at_once(
    keys: RedisServer, redis: RedisClient
) -> None:
    """The next look of the other takes them over, without waiting for a lease to run out."""
    one, other = (shipper(redis, ListSink(), owner) for owner in (b"a", b"b"))
    assert await settled(one, other) == [32, 32]
    await other.aclose()
    assert await settled(one) == [64]


async def test_who_was_killed_counts_until_its_lease_is_over(
    keys: RedisServer, redis: RedisClient
) -> None:
    """Then what it had is the other's, and so is its share."""
    one, killed = (shipper(redis, ListSink(), owner) for owner in (b"a", b"b"))
    await settled(one, killed)
    await bring(one, looks=5)
    assert held(one) == 32
    with keys.client() as client:
        client.hset("events:{00}:pods:list", "b", 1)
        for bucket in range(64):
            state = f"events:{{{bucket:02x}}}:sink:list"
            if client.hget(state, "owner") == b"b":
                client.hset(state, "until", 1)
    assert await settled(one) == [64]


async def test_who_has_its_share_asks_for_no_more(keys: RedisServer, redis: RedisClient) -> None:
    """However many processes there are, what is others' costs the server nothing. Each looks who is
    there, and for news in what it has."""
    pods = [shipper(redis, ListSink(), owner) for owner in (b"a", b"b", b"c")]
    await settled(*pods)
    with keys.client() as client:
        client.config_resetstat()
        await bring(*pods, looks=3)
        stats = client.info("commandstats")
        assert stats["cmdstat_evalsha"]["calls"] == 2 * 3 * 3
        assert stats["cmdstat_xrevrange"]["calls"] == 64 * 3
        assert "cmdstat_xrange" not in stats


async def test_an_outage_of_the_register_leaves_shares_as_they_are(
    keys: RedisServer, redis: RedisClient
) -> None:
    """Where it cannot be read, everybody goes on with what they have."""
    sink = ListSink()
    one, other = (shipper(redis, sink, owner) for owner in (b"a", b"b"))
    await settled(one, other)
    with keys.client() as client:
        client.delete("events:{00}:pods:list")
        client.set("events:{00}:pods:list", "no hash")
    ids = [write(keys, random.choice(USERS), "x") for _ in range(20)]
    await bring(one, other, looks=2)
    assert (held(one), held(other)) == (32, 32)
    assert sorted(sink.arrived) == sorted(ids)
