"""The feed through Sentinels and on a cluster: failovers, and slots that move."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest
from redis.crc import key_slot
from tools.testbed.cluster import Cluster
from tools.testbed.issuer import Issuer
from tools.testbed.parts import Parts
from tools.testbed.sentinel import SentinelTrio
from tools.testbed.waiting import eventually

from service.errors import NothingToRevoke, StoreUnavailable
from service.guard import Verifier
from service.redis.comparisons import Comparisons
from service.redis.keys import BUCKETS, numbered
from service.sessions.token_pair import TokenPair
from tests.guard.guards import ISSUER, Guards, log_out, parts_at, refuses, settled, verdict

USER = bytes(16)
BOUND = timedelta(seconds=2)
Several = Cluster | SentinelTrio


@pytest.fixture(scope="module", params=[Cluster, SentinelTrio], ids=["cluster", "sentinel"])
def several(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Several]:
    directory = tmp_path_factory.mktemp("several")
    if request.param is Cluster:
        servers: Several = Cluster(directory, replicas=True).start()
    else:
        servers = SentinelTrio(directory).start()
    yield servers
    servers.stop()


@pytest.fixture
async def parts(several: Several) -> AsyncIterator[Parts]:
    several.heal()
    # What Sentinels let go of with a primary that is replaced, no guard can know.
    min_replicas = 1 if isinstance(several, SentinelTrio) else 0
    async with parts_at(several.url, min_replicas) as parts:
        yield parts


@pytest.fixture
async def guards(several: Several, issuer: Issuer) -> AsyncIterator[Guards]:
    async with Guards(issuer, several.url.reveal()) as guards:
        yield guards


ON_CLUSTER = pytest.mark.parametrize("several", [Cluster], ids=["cluster"], indirect=True)
ON_SENTINEL = pytest.mark.parametrize("several", [SentinelTrio], ids=["sentinel"], indirect=True)


async def end(parts: Parts, pair: TokenPair) -> None:
    """Log out, however often that takes while servers change their roles."""
    patience, tried = time.monotonic() + 30, False
    while True:
        try:
            await log_out(parts, pair)
            return
        except StoreUnavailable:
            assert time.monotonic() < patience
            tried = True
            await asyncio.sleep(0.05)
        except NothingToRevoke:
            assert tried, "an attempt that was not confirmed had ended it"
            return


async def seen(guard: Verifier, *pairs: TokenPair) -> None:
    for pair in pairs:
        await eventually(lambda pair=pair: refuses(guard, pair.access_token))


async def accepted(guard: Verifier, *pairs: TokenPair) -> None:
    async def all_accepted() -> bool:
        return {await verdict(guard, pair.access_token) for pair in pairs} == {"accepted"}

    await eventually(all_accepted)


async def everywhere(parts: Parts) -> list[TokenPair]:
    """A session in each bucket."""
    return [await parts.open(bytes((number,)) * 16) for number in range(BUCKETS)]


async def test_ends_in_all_buckets_are_seen(parts: Parts, guards: Guards) -> None:
    """By the feed, by asking, and by a guard that starts afterwards."""
    guard, strict = await guards.start(bound=BOUND), await guards.start(mode="strict")
    ended, living = await everywhere(parts), await everywhere(parts)
    await accepted(guard, *ended, *living)
    await accepted(strict, *ended)
    for pair in ended:
        await log_out(parts, pair)
    later = await guards.start(bound=BOUND)
    for each in (guard, strict, later):
        await seen(each, *ended)
        await accepted(each, *living)
    assert guard.counters.feed_losses == later.counters.feed_losses == 0


@ON_SENTINEL
async def test_a_failover_of_sentinels(several: SentinelTrio, parts: Parts, guards: Guards) -> None:
    """In good order, then by kill -9: the guard goes over, and sees what ends there."""
    guard, ask = await guards.start(bound=BOUND), await guards.start(bound=BOUND, when_lost="ask")
    first, second, third, living = [await parts.open() for _ in range(4)]
    await end(parts, first)
    await seen(guard, first)
    before = several.fail_over()
    await end(parts, second)
    for each in (guard, ask):
        await seen(each, first, second)
    before.kill()
    several.next_primary(before)
    await end(parts, third)
    for each in (guard, ask):
        await seen(each, third)
        assert await refuses(each, first.access_token)
        await accepted(each, living)
    assert guard.counters.feed_losses == 0


@ON_SENTINEL
async def test_without_a_sentinel_nothing_is_sure(
    several: SentinelTrio, parts: Parts, guards: Guards
) -> None:
    """The server answers, but whether it still is the primary nobody says: the feed is lost."""
    guard = await guards.start(bound=BOUND)
    pair = await parts.open()
    await accepted(guard, pair)
    for sentinel in several.sentinels:
        sentinel.kill()

    async def unavailable() -> bool:
        return await verdict(guard, pair.access_token) == "unavailable"

    await eventually(unavailable)
    for sentinel in several.sentinels:
        sentinel.start()
    await accepted(guard, pair)


@ON_CLUSTER
async def test_a_failover_in_a_cluster(several: Cluster, parts: Parts, guards: Guards) -> None:
    """A primary dies: users on others notice nothing, those on it are back with its replica."""
    guard = await guards.start(bound=BOUND)
    ended, living = await everywhere(parts), await everywhere(parts)
    await accepted(guard, *living)
    victim = several.nodes[0]
    theirs = [n for n in range(BUCKETS) if several.owner(key_slot(numbered(n).revoked)) is victim]
    unharmed = [pair for number, pair in enumerate(living) if number not in theirs]
    assert theirs
    assert unharmed
    victim.kill()
    for pair in ended:
        await end(parts, pair)
    await accepted(guard, *unharmed)
    await seen(guard, *ended)
    await accepted(guard, *living)
    assert guard.counters.feed_losses == 0


@ON_CLUSTER
@pytest.mark.parametrize(("way", "to"), [("move", 1), ("move_key_by_key", 2)])
async def test_slots_that_move(
    several: Cluster, parts: Parts, guards: Guards, way: str, to: int
) -> None:
    """At once or key by key: the readers follow, and nothing is missed."""
    guard, strict = await guards.start(bound=BOUND), await guards.start(mode="strict")
    numbers = range(0, BUCKETS, 8)
    first = [await parts.open(bytes((number,)) * 16) for number in numbers]
    second = [await parts.open(bytes((number,)) * 16) for number in numbers]
    living = [await parts.open(bytes((number,)) * 16) for number in numbers]
    for pair in first:
        await end(parts, pair)
    await seen(guard, *first)
    for number in numbers:
        slot = key_slot(numbered(number).revoked)
        if several.owner(slot) is not several.nodes[to]:
            await asyncio.to_thread(getattr(several, way), slot, several.nodes[to])
    for pair in second:
        await end(parts, pair)
    for each in (guard, strict):
        await seen(each, *first, *second)
        await accepted(each, *living)
    assert guard.counters.feed_losses == 0


@ON_CLUSTER
async def test_a_move_that_takes_its_time(several: Cluster, parts: Parts, guards: Guards) -> None:
    """The stream is at its new place while the slot is not yet: the feed goes on there."""
    guard, strict = await guards.start(bound=BOUND), await guards.start(mode="strict")
    before, living = await parts.open(USER), await parts.open(USER)
    await end(parts, before)
    await seen(guard, before)
    slot = key_slot(numbered(0).revoked)
    source = several.owner(slot)
    to = next(n for n in several.nodes if n.role() == "master" and n is not source)
    to.cluster("SETSLOT", slot, "IMPORTING", source.id)
    source.cluster("SETSLOT", slot, "MIGRATING", to.id)
    with source.client() as client:
        keys = client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100)
        client.migrate("127.0.0.1", to.port, keys, 0, 5000)
    moved_at = time.monotonic()
    await eventually(lambda: later_than(moved_at + BOUND.total_seconds()))
    for each in (guard, strict):
        assert await settled(each, living.access_token) == "accepted"
        assert await refuses(each, before.access_token)
    for node in (to, source):
        node.cluster("SETSLOT", slot, "NODE", to.id)
    await end(parts, living)
    for each in (guard, strict):
        await seen(each, living)
    assert guard.counters.feed_losses == 0


@ON_CLUSTER
async def test_asking_while_only_some_keys_have_moved(
    several: Cluster, parts: Parts, guards: Guards
) -> None:
    """Of two users of one bucket one is there and one still here: both are judged by what is so.

    What stands neither here nor there has ended; a cut-off of everybody counts on either side.
    """
    users = [bytes(15) + bytes((number,)) for number in (1, 2)]
    moved, unmoved = [await parts.open(user) for user in users]
    names = numbered(0)
    slot = key_slot(names.revoked)
    source = several.owner(slot)
    to = next(n for n in several.nodes if n.role() == "master" and n is not source)
    ended = await parts.open(users[0])
    await end(parts, ended)
    with source.client() as client:
        client.set(names.before, 0)
    strict = await guards.start(mode="strict")
    await accepted(strict, moved, unmoved)
    to.cluster("SETSLOT", slot, "IMPORTING", source.id)
    source.cluster("SETSLOT", slot, "MIGRATING", to.id)
    try:
        with source.client() as here:
            here.migrate("127.0.0.1", to.port, [names.index + users[0]], 0, 5000)
            for _ in range(2):
                for pair in (moved, unmoved):
                    assert await settled(strict, pair.access_token) == "accepted"
                assert await refuses(strict, ended.access_token)
            here.set(names.before, 2**50)
            fresh = [await guards.start(mode="strict") for _ in range(2)]
            assert await verdicts(fresh[0], moved, unmoved) == ["refused"] * 2
            here.migrate("127.0.0.1", to.port, [names.before, names.issuer], 0, 5000)
            assert await verdicts(fresh[1], moved, unmoved) == ["refused"] * 2
    finally:
        with source.client() as here:
            keys = here.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100)
            here.migrate("127.0.0.1", to.port, keys, 0, 5000)
        for node in (to, source):
            node.cluster("SETSLOT", slot, "NODE", to.id)
        with to.client() as there:
            there.delete(names.before)


async def verdicts(guard: Verifier, *pairs: TokenPair) -> list[str]:
    return [await verdict(guard, pair.access_token) for pair in pairs]


async def later_than(moment: float) -> bool:
    return time.monotonic() > moment


@ON_CLUSTER
async def test_each_bucket_of_a_cluster_is_compared(
    several: Cluster, parts: Parts, guards: Guards
) -> None:
    """A guard that starts waits for all of them; where nobody compares any more, for none."""

    async def least() -> list[int]:
        return [0] * BUCKETS

    comparisons = Comparisons(parts.link, ISSUER, least)
    living = (await parts.open(USER)).access_token
    await comparisons.look()
    guard = await guards.start(bound=0.4)
    assert await verdict(guard, living) == "unavailable"

    async def is_accepted() -> bool:
        await comparisons.look()
        return await verdict(guard, living) == "accepted"

    await eventually(is_accepted)
    await Comparisons(parts.link, ISSUER, None).look()
    late = await guards.start(bound=BOUND)
    assert await settled(late, living) == "accepted"
