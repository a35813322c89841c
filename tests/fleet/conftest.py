"""Several servers and three service processes each, shared by the tests of a file.

No service process is ever restarted: that it serves the next test is part of what is proven.
"""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from tools.testbed.access import SERVICE
from tools.testbed.cluster import Cluster
from tools.testbed.sentinel import SentinelTrio

from tests.support.fleet import Fleet

STARVED = {"SERVICE_REDIS_CONNECT_TIMEOUT_MS": "2000", "SERVICE_REDIS_REPLY_TIMEOUT_MS": "5000"}
"""Settings of pods that nodes of Redis may keep waiting, be it for a core alone: less than a client
waits for them."""


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three primaries with a replica each."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), replicas=True)
    try:
        yield cluster.start()
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def cluster_fleet(
    shared_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """Pods on `shared_cluster`; each change waits for a replica."""
    directory = tmp_path_factory.mktemp("cluster-fleet")
    fleet = Fleet(
        directory, shared_cluster.url_of(SERVICE), SERVICE_REDIS_MIN_REPLICAS="1", **STARVED
    ).start()
    yield fleet
    fleet.stop()


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Iterator[Cluster]:
    """`shared_cluster`, whole before and after."""
    yield shared_cluster
    shared_cluster.heal()


@pytest.fixture
async def on_cluster(cluster: Cluster, cluster_fleet: Fleet) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the pods on `cluster`."""
    async with cluster_fleet.client(timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def shared_trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelTrio]:
    """A primary and two replicas under three Sentinels."""
    trio = SentinelTrio(tmp_path_factory.mktemp("sentinel"))
    try:
        yield trio.start()
    finally:
        trio.stop()


@pytest.fixture(scope="session")
def sentinel_fleet(
    shared_trio: SentinelTrio, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """Pods on `shared_trio`; each change waits for a replica."""
    directory = tmp_path_factory.mktemp("sentinel-fleet")
    fleet = Fleet(directory, shared_trio.url_of(SERVICE), SERVICE_REDIS_MIN_REPLICAS="1").start()
    yield fleet
    fleet.stop()


@pytest.fixture
def trio(shared_trio: SentinelTrio) -> Iterator[SentinelTrio]:
    """`shared_trio`, whole before and after."""
    yield shared_trio
    shared_trio.heal()


@pytest.fixture
async def on_sentinel(
    trio: SentinelTrio, sentinel_fleet: Fleet
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the pods on `trio`."""
    async with sentinel_fleet.client() as client:
        yield client
