"""Which nodes of a cluster a guard reads: some of the URL have left, or are of another cluster."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tools.testbed.cluster import SLOTS, Cluster, Node
from tools.testbed.issuer import Issuer
from tools.testbed.parts import Parts
from tools.testbed.waiting import eventually

from service.embedded.files import find_binary
from service.guard import Verifier
from service.redis.client import RedisClient
from service.redis.keys import BUCKETS
from service.sessions.token_pair import TokenPair
from service.settings import Secret
from tests.guard.guards import Guards, log_out, marked, parts_at, refuses, verdict

BOUND = timedelta(seconds=2)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "cluster").start()
    yield cluster
    cluster.stop()


@pytest.fixture
async def parts(cluster: Cluster) -> AsyncIterator[Parts]:
    async with parts_at(cluster.url) as parts:
        yield parts


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Node]:
    """A node of no cluster, without slots."""
    node = Node(find_binary(), tmp_path / "alone")
    node.start()
    yield node
    node.stop()


async def accepted(guard: Verifier, *pairs: TokenPair) -> None:
    async def all_accepted() -> bool:
        return {await verdict(guard, pair.access_token) for pair in pairs} == {"accepted"}

    await eventually(all_accepted)


async def refused(guard: Verifier, pair: TokenPair) -> None:
    await eventually(lambda: refuses(guard, pair.access_token))


@pytest.mark.parametrize("rights", ["may ask for the map", "may not"])
async def test_a_node_without_slots_in_the_url(
    cluster: Cluster, parts: Parts, issuer: Issuer, alone: Node, rights: str
) -> None:
    """It is passed over, though it is the first that is asked, as in the service."""
    user = "+@all" if rights == "may ask for the map" else "+xread +get +hexists +asking"
    for node in (*cluster.nodes, alone):
        with node.client() as client:
            client.execute_command("ACL", "SETUSER", "guard", "on", ">s", "~*", *user.split())
    url = cluster.url.reveal().replace("://", f"://guard:s@127.0.0.1:{alone.port},")
    await serves(parts, issuer, url)


async def test_a_cluster_of_its_own_in_the_url(
    cluster: Cluster, parts: Parts, issuer: Issuer, alone: Node
) -> None:
    """The first that is asked has all slots and no mark: the cluster counts that most tell of."""
    alone.cluster("ADDSLOTSRANGE", 0, SLOTS - 1)
    await serves_all_slots(alone)
    await serves(parts, issuer, cluster.url.reveal().replace("://", f"://127.0.0.1:{alone.port},"))


async def serves_all_slots(node: Node) -> None:
    await eventually(lambda: asyncio.to_thread(lambda: node.state()["cluster_state"] == "ok"))


async def serves(parts: Parts, issuer: Issuer, url: str) -> None:
    """In both modes a guard accepts who lives, and refuses who has ended."""
    sessions = [await parts.open(bytes((number,)) * 16) for number in range(0, BUCKETS, 16)]
    async with Guards(issuer, url) as guards:
        feed, strict = await guards.start(bound=BOUND), await guards.start(mode="strict")
        for guard in (feed, strict):
            await accepted(guard, *sessions)
        await log_out(parts, sessions[0])
        for guard in (feed, strict):
            await refused(guard, sessions[0])


async def test_one_that_left_with_its_data(cluster: Cluster, parts: Parts, issuer: Issuer) -> None:
    """It still serves all slots, and bears the mark: but what ends elsewhere is refused."""
    leaver, heir, third = cluster.nodes
    users = [bytes((number,)) * 16 for number in range(BUCKETS)]
    async with Guards(issuer, cluster.url.reveal()) as guards:
        feed, strict = await guards.start(bound=BOUND), await guards.start(mode="strict")
        for guard in (feed, strict):
            await accepted(guard, *[await parts.open(user) for user in users])
        here = range(SLOTS // 3)
        for one, other in ((heir, leaver), (third, leaver), (leaver, heir), (leaver, third)):
            one.cluster("FORGET", other.id)
        heir.cluster("ADDSLOTSRANGE", here[0], here[-1])
        leaver.cluster("ADDSLOTSRANGE", here[-1] + 1, SLOTS - 1)
        for node in cluster.nodes:
            await serves_all_slots(node)
        service = RedisClient(Secret(f"redis+cluster://127.0.0.1:{heir.port}"))
        async with marked(service):
            later = [await Parts(service).open(user) for user in users]
            for pair in later:
                await log_out(Parts(service), pair)
            for guard in (feed, strict):
                for pair in later:
                    await refused(guard, pair)
        await service.aclose()
