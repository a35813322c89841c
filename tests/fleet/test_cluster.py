"""A cluster whose nodes die and whose slots move, under load from three pods."""

import asyncio
import random

import httpx
from tools.testbed.cluster import Cluster, Node, slot_of
from tools.testbed.service_process import Person, sign_up
from tools.testbed.waiting import eventually, wait_until

from tests.fleet.load import load


def errors(cluster: Cluster) -> dict[str, int]:
    """How often the nodes have answered with each kind of error, all together."""
    counts: dict[str, int] = {}
    for node in cluster.nodes:
        with node.client() as client:
            for name, fields in client.info("errorstats").items():
                kind = name.removeprefix("errorstat_")
                counts[kind] = counts.get(kind, 0) + fields["count"]
    return counts


def elsewhere(cluster: Cluster, slot: int, seed: random.Random) -> Node:
    """A primary that does not have this slot."""
    primaries = [node for node in cluster.nodes if node.role() == "master"]
    primaries.remove(cluster.owner(slot, primaries[0]))
    return seed.choice(primaries)


async def test_slots_that_move_at_once(cluster: Cluster, on_cluster: httpx.AsyncClient) -> None:
    """Under load, slots change hands in one step each: no error, no lost session, right answers."""
    seed, before = random.Random(1), errors(cluster)
    async with load(on_cluster, unavailable_is_wrong=True) as under_way:
        for slot in [slot_of(user) for user in under_way.users] * 2:
            await asyncio.to_thread(cluster.move, slot, elsewhere(cluster, slot, seed))
            await under_way.progress(1)
    after = errors(cluster)
    assert after.get("MOVED", 0) > before.get("MOVED", 0), "nothing has moved under the load"
    assert after.get("CROSSSLOT", 0) == 0


async def test_a_pod_is_told_once(cluster: Cluster, on_cluster: httpx.AsyncClient) -> None:
    """Each pod learns from one MOVED where a slot is, and asks there from then on.

    What it does by itself beside the calls may be told too, before them or at the same time: it
    looks at the bucket by connections of its own, for the feed's mark and for the fence.
    """
    person = await sign_up(on_cluster)
    slot = slot_of(person.user_id)
    before = errors(cluster).get("MOVED", 0)
    cluster.move(slot, elsewhere(cluster, slot, random.Random(3)))
    for _ in range(30):
        assert (await person.me()).status_code == 200
    assert errors(cluster).get("MOVED", 0) - before <= 12


async def test_slots_that_move_key_by_key(cluster: Cluster, on_cluster: httpx.AsyncClient) -> None:
    """The same as before Valkey 9, when a slot is in two places for a while."""
    seed, before = random.Random(2), errors(cluster)
    async with load(on_cluster, unavailable_is_wrong=True) as under_way:
        for slot in [slot_of(user) for user in under_way.users] * 2:
            there = elsewhere(cluster, slot, seed)
            await asyncio.to_thread(cluster.move_key_by_key, slot, there)
    after = errors(cluster)
    assert after.get("ASK", 0) > before.get("ASK", 0), "no slot was asked for while it moved"
    assert after.get("CROSSSLOT", 0) == 0


async def test_a_killed_primary_is_replaced(
    cluster: Cluster, on_cluster: httpx.AsyncClient
) -> None:
    """kill -9: nothing that was answered is lost, and the pods find the replica by themselves.

    The replica has none of its own until the old primary is back: until then, no change is
    confirmed.
    """
    async with load(on_cluster) as under_way:
        victim = cluster.owner(slot_of(under_way.users[0]))
        replica = cluster.replica_of(victim)
        victim.kill()
        with under_way.calm():
            await asyncio.to_thread(wait_until, lambda: replica.role() == "master")
        await asyncio.to_thread(victim.start)
        await under_way.progress()


async def test_a_primary_that_hung_is_replaced(
    cluster: Cluster, on_cluster: httpx.AsyncClient
) -> None:
    """Frozen while nobody asked it anything, replaced, thawed: what it then took does not count."""
    people = [await sign_up(on_cluster) for _ in range(6)]
    victim = cluster.owner(slot_of(people[0].user_id))
    replica = cluster.replica_of(victim)
    victim.freeze()
    await asyncio.to_thread(wait_until, lambda: replica.role() == "master")
    victim.resume()
    for number, person in enumerate(people):
        answer = await person.refresh()
        assert answer.status_code in (200, 503)
        people[number] = person.holding(answer.json()) if answer.status_code == 200 else person
    await asyncio.to_thread(wait_until, lambda: victim.role() == "slave")
    for person in people:

        async def refreshed(person: Person = person) -> bool:
            answer = await person.refresh()
            assert answer.status_code in (200, 503), "only that no replica has it yet"
            return answer.status_code == 200

        async def is_in(person: Person = person) -> bool:
            answer = await person.me()
            assert answer.status_code in (200, 503), "only that a node is late"
            return answer.status_code == 200

        await eventually(refreshed)
        await eventually(is_in)
