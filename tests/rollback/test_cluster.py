"""A cluster that is not up yet when it is connected to serves nothing that was not looked at."""

from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from tools.testbed.cluster import Cluster, slot_of
from tools.testbed.waiting import PATIENCE

from service.redis.keys import numbered
from tests.rollback.pod import Opened, Pod, bucket_of

pytestmark = pytest.mark.parametrize("new_user_store", ["sqlite"], indirect=True)

NOBODYS = 0
"""A slot that no bucket lies in."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One node that has all slots."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), primaries=1)
    try:
        yield cluster.start()
    finally:
        cluster.stop()


@pytest.fixture
async def pod(cluster: Cluster, engine: AsyncEngine) -> AsyncIterator[Pod]:
    pod = Pod(cluster.url, engine)
    await pod.watch.start(PATIENCE)
    yield pod
    await pod.aclose()


async def gone_back(pod: Pod, cluster: Cluster) -> Opened:
    """Open a session in a bucket, and have its server lose the number of what has ended there."""
    session = await pod.open()
    await pod.end(await pod.open(session.user))
    await pod.settle()
    [node] = cluster.nodes
    with node.client() as client:
        client.delete(numbered(bucket_of(session)).revocations)
    assert await pod.lives(session) is True
    return session


@pytest.mark.parametrize("over", ["a new connection", "the one that is there"])
async def test_a_node_that_does_not_serve_yet(pod: Pod, cluster: Cluster, over: str) -> None:
    """It tells of no bucket, so it is looked at once it does, before anything is served from it."""
    session = await gone_back(pod, cluster)
    [node] = cluster.nodes
    node.cluster("DELSLOTS", NOBODYS)  # with one missing the cluster is down
    if over == "a new connection":
        await pod.reconnect()
    else:
        (known,) = await pod.link._topology.primaries()
        await pod.rollback.check_buckets(known, [bucket_of(session)])
    assert await pod.lives(session) == "cluster"
    node.cluster("ADDSLOTS", NOBODYS)
    assert await pod.lives(session) == "rollback"


async def test_a_slot_that_nobody_has(pod: Pod, cluster: Cluster) -> None:
    """The other buckets are served meanwhile, where the cluster goes on without it."""
    session = await pod.open()
    [node] = cluster.nodes
    other = slot_of(bytes((bucket_of(session) ^ 1,)))
    with node.client() as client:
        client.config_set("cluster-require-full-coverage", "no")
        node.cluster("DELSLOTS", other)
        try:
            await pod.reconnect()
            assert await pod.lives(session) is True
        finally:
            node.cluster("ADDSLOTS", other)
            client.config_set("cluster-require-full-coverage", "yes")
