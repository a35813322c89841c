"""Which node of a cluster is asked: nodes that leave in good order, slots without an owner, URLs
that name nodes without slots or of another cluster. On real clusters, which each test may break.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tools.testbed.cluster import SLOTS, Cluster, Node
from tools.testbed.parts import PATIENTLY
from tools.testbed.waiting import eventually, wait_until

from service.embedded.files import find_binary
from service.errors import StartupError, StoreRefuses, StoreUnavailable
from service.redis.client import RedisClient
from service.redis.cluster_map import ClusterMap
from service.redis.keys import BUCKETS, TAGS, numbered
from service.redis.requirements import check_server
from service.redis.scripts import Key, script
from service.settings import Secret

ISSUER = "https://ours.example"
KEYS = [b"session:" + tag + b":x" for tag in TAGS]


@script(text="redis.call('SET', key, value, 'PX', 60000) return redis.call('GET', key)")
def change(*, key: Key, value: bytes) -> Any: ...


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "cluster")
    try:
        yield cluster.start()
    finally:
        cluster.stop()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Node]:
    """A node of no cluster, without slots."""
    node = Node(find_binary(), tmp_path / "alone")
    node.start()
    yield node
    node.stop()


@pytest.fixture
async def redis_client(cluster: Cluster) -> AsyncIterator[RedisClient]:
    redis_client = RedisClient(cluster.url, timing=PATIENTLY)
    yield redis_client
    await redis_client.aclose()


async def served(redis_client: RedisClient) -> list[bool]:
    """For each bucket, whether a change of it is carried out."""
    outcomes = await asyncio.gather(
        *(change(redis_client, key=key, value=b"v") for key in KEYS), return_exceptions=True
    )
    assert all(outcome == b"v" or isinstance(outcome, StoreUnavailable) for outcome in outcomes)
    return [outcome == b"v" for outcome in outcomes]


def empty(cluster: Cluster, leaver: Node, heir: Node) -> None:
    """Move all slots of `leaver` to `heir`."""
    number = cluster.nodes.index(leaver)
    first, last = SLOTS * number // 3, SLOTS * (number + 1) // 3 - 1
    leaver.cluster("MIGRATESLOTS", "SLOTSRANGE", first, last, "NODE", heir.id)
    wait_until(lambda: all(cluster.owner(first, node) is heir for node in cluster.nodes))
    wait_until(lambda: cluster.owner(last, leaver) is heir)


def leave(cluster: Cluster, leaver: Node) -> None:
    """What `--cluster del-node` does: the others forget the node, which is reset and runs on."""
    for node in cluster.nodes:
        if node is not leaver:
            node.cluster("FORGET", leaver.id)
    leaver.cluster("RESET", "SOFT")


async def test_a_primary_that_leaves_in_good_order(
    cluster: Cluster, redis_client: RedisClient
) -> None:
    """Its slots moved, forgotten, reset and running on: at once everybody is served elsewhere.

    The link has not been told by a single MOVED, and the node is in its URL and in its map.
    """
    assert all(await served(redis_client))
    await asyncio.to_thread(empty, cluster, cluster.nodes[0], cluster.nodes[1])
    await asyncio.to_thread(leave, cluster, cluster.nodes[0])
    assert all(await served(redis_client))
    assert await redis_client.unserved() == 0


async def test_one_that_left_and_is_a_cluster_of_its_own(
    cluster: Cluster, redis_client: RedisClient
) -> None:
    """Though it now takes whatever comes, it is not asked any more; the link looks by itself."""
    assert all(await served(redis_client))
    leaver = cluster.nodes[0]
    await asyncio.to_thread(empty, cluster, leaver, cluster.nodes[1])
    await asyncio.to_thread(leave, cluster, leaver)
    leaver.cluster("ADDSLOTSRANGE", 0, SLOTS - 1)
    wait_until(lambda: leaver.state()["cluster_state"] == "ok")

    async def left() -> bool:
        before = leaver.calls("evalsha", "eval")
        return all(await served(redis_client)) and leaver.calls("evalsha", "eval") == before

    await eventually(left)


@pytest.mark.parametrize("full_coverage", ["yes", "no"])
async def test_slots_without_an_owner(
    cluster: Cluster, redis_client: RedisClient, full_coverage: str
) -> None:
    """Their users are not served, all others are unless the cluster wants all slots; it is counted,
    and over as soon as somebody has the slots."""
    for node in cluster.nodes:
        with node.client() as client:
            client.config_set("cluster-require-full-coverage", full_coverage)
    assert all(await served(redis_client))
    owner = cluster.nodes[0]
    owner.cluster("DELSLOTSRANGE", 0, 1999)
    await eventually(redis_client.unserved)
    unserved = await redis_client.unserved()
    assert 0 < unserved < BUCKETS / 3
    if full_coverage == "no":
        assert (await served(redis_client)).count(False) == unserved
    owner.cluster("ADDSLOTSRANGE", 0, 1999)

    async def whole() -> bool:
        return all(await served(redis_client)) and await redis_client.unserved() == 0

    await eventually(whole)


async def test_a_node_without_slots_in_the_url(cluster: Cluster, alone: Node) -> None:
    """Whichever is asked first: the next one is asked."""
    for _ in range(4):
        for url in (f"{{}},127.0.0.1:{alone.port}", f"127.0.0.1:{alone.port},{{}}"):
            known = f"127.0.0.1:{cluster.nodes[0].port}"
            redis_client = RedisClient(
                Secret("redis+cluster://" + url.format(known)), timing=PATIENTLY
            )
            assert len(await redis_client.ask_all("INFO")) == 3
            assert all(await served(redis_client))
            await redis_client.aclose()


async def test_only_nodes_without_slots_in_the_url(alone: Node) -> None:
    """Not served, with the reason; it may yet get slots."""
    redis_client = RedisClient(Secret(f"redis+cluster://127.0.0.1:{alone.port}"), timing=PATIENTLY)
    for ask in (
        redis_client.ask_all("INFO"),
        redis_client.unserved(),
        change(redis_client, key=KEYS[0], value=b"v"),
    ):
        with pytest.raises(StoreRefuses, match="serves slots"):
            await ask
    alone.cluster("ADDSLOTSRANGE", 0, SLOTS - 1)
    wait_until(lambda: alone.state()["cluster_state"] == "ok")
    assert all(await served(redis_client))
    await redis_client.aclose()


async def test_a_node_of_another_cluster_in_the_url(cluster: Cluster, alone: Node) -> None:
    """It gets nothing: the majority of the URL counts, and without one nobody is asked."""
    alone.cluster("ADDSLOTSRANGE", 0, SLOTS - 1)
    wait_until(lambda: alone.state()["cluster_state"] == "ok")
    for _ in range(4):
        redis_client = RedisClient(
            Secret(f"{cluster.url.reveal()},127.0.0.1:{alone.port}"), timing=PATIENTLY
        )
        assert all(await served(redis_client))
        await redis_client.aclose()
    assert alone.calls("evalsha", "eval") == 0
    undecided = f"redis+cluster://127.0.0.1:{cluster.nodes[0].port},127.0.0.1:{alone.port}"
    with pytest.raises(StartupError, match=r"SERVICE_REDIS_URL: .*different clusters"):
        await check_server(Secret(undecided), timing=PATIENTLY)


@pytest.mark.parametrize("theirs", ["", "https://theirs.example"])
async def test_the_mark_of_the_feed_decides(cluster: Cluster, alone: Node, theirs: str) -> None:
    """Of two clusters in the URL the one that bears ours is asked, and nothing of the other one;
    one that bears another's is refused, and both issuers are told."""
    alone.cluster("ADDSLOTSRANGE", 0, SLOTS - 1)
    wait_until(lambda: alone.state()["cluster_state"] == "ok")
    with cluster.client() as ours, alone.client() as other:
        for number in range(BUCKETS):
            ours.xadd(numbered(number).issuer, {"iss": ISSUER})
            if theirs:
                other.xadd(numbered(number).issuer, {"iss": theirs})
    both = Secret(f"redis+cluster://127.0.0.1:{alone.port},127.0.0.1:{cluster.nodes[0].port}")
    await check_server(both, ISSUER, PATIENTLY)
    redis_client = RedisClient(both, issuer=ISSUER, timing=PATIENTLY)
    assert all(await served(redis_client))
    await redis_client.aclose()
    assert alone.calls("evalsha", "eval") == 0
    redis_client = RedisClient(
        Secret(f"redis+cluster://127.0.0.1:{alone.port}"), issuer=ISSUER, timing=PATIENTLY
    )
    if theirs:
        with pytest.raises(StoreRefuses, match="theirs") as refusal:
            await change(redis_client, key=KEYS[0], value=b"v")
        assert ISSUER in str(refusal.value)
    else:
        assert all(await served(redis_client))
    await redis_client.aclose()


async def test_a_look_survives_what_nobody_foresaw(
    cluster: Cluster, redis_client: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task that looks now and then goes on."""
    assert all(await served(redis_client))
    read = ClusterMap.read
    failed = asyncio.Event()

    def fail(*arguments: object) -> ClusterMap:
        failed.set()
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(ClusterMap, "read", fail)
    await failed.wait()
    monkeypatch.setattr(ClusterMap, "read", read)
    cluster.nodes[0].cluster("DELSLOTSRANGE", 0, 1999)
    with suppress(StoreUnavailable):
        await eventually(redis_client.unserved)
    assert await redis_client.unserved()


async def test_a_password_that_no_node_takes(cluster: Cluster) -> None:
    """It stops the start, as anywhere; it is not told as a cluster that cannot be reached."""
    url = cluster.url.reveal().replace("redis+cluster://", "redis+cluster://nobody:s3cret@")
    with pytest.raises(StartupError, match=r"^SERVICE_REDIS_URL: .*user name and password$"):
        await check_server(Secret(url), timing=PATIENTLY)
