"""A primary that is taken out of a cluster in good order, under load, as docs/deploy tells."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from redis.exceptions import MovedError
from tools.testbed.access import SERVICE
from tools.testbed.cluster import SLOTS, Cluster, Node, slot_of
from tools.testbed.service_process import ServiceProcess, sign_up
from tools.testbed.waiting import eventually, wait_until

from service.redis.keys import BUCKETS, numbered
from tests.fleet.load import load
from tests.support.fleet import client_of


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """One of its own: it ends with a node less."""
    cluster = Cluster(tmp_path / "cluster")
    try:
        yield cluster.start()
    finally:
        cluster.stop()


def milliseconds(node: Node) -> int:
    """The time by a node's clock."""
    with node.client() as client:
        seconds, micros = client.time()
    return int(seconds * 1000 + micros // 1000)


async def compared_everywhere(nodes: Sequence[Node], since: int) -> bool:
    """Whether each bucket has been compared since then, where it is now."""
    found = set[int]()
    for node in nodes:
        with node.client() as client:
            for bucket in range(BUCKETS):
                with suppress(MovedError):
                    later = client.xrange(numbered(bucket).compared, since)
                    found |= {bucket} if later else set()
    return len(found) == BUCKETS


async def test_nobody_notices(cluster: Cluster, tmp_path: Path) -> None:
    """Its slots are moved, it is forgotten, reset and runs on: no call fails, then or afterwards,
    neither of those who were there nor of those who sign up; what pods do unasked follows."""
    leaver, heir = cluster.nodes[:2]

    def take_out() -> None:
        leaver.cluster("MIGRATESLOTS", "SLOTSRANGE", 0, SLOTS // 3 - 1, "NODE", heir.id)
        wait_until(lambda: all(cluster.owner(0, node) is heir for node in cluster.nodes))
        for node in cluster.nodes[1:]:
            node.cluster("FORGET", leaver.id)
        leaver.cluster("RESET", "SOFT")

    service = ServiceProcess(tmp_path, cluster.url_of(SERVICE), SERVICE_REDIS_ROLLBACK=None).start()
    try:
        async with client_of(service) as client:
            async with load(client, unavailable_is_wrong=True) as under_way:
                await asyncio.to_thread(take_out)
                await under_way.progress()
            since = milliseconds(heir)
            await eventually(lambda: compared_everywhere(cluster.nodes[1:], since))
            while slot_of((await sign_up(client)).user_id) >= SLOTS // 3:
                pass  # until somebody new lies where the node was

            async def ready() -> bool:
                return (await client.get("/health/ready")).status_code == 200

            await eventually(ready)
    finally:
        assert service.stop() == 0
