"""A primary that leaves a cluster and comes back, for faults that need the cluster whole."""

from pathlib import Path

from tools.testbed.cluster import Cluster

KEYS = 500


def test_a_primary_leaves_and_comes_back(tmp_path: Path) -> None:
    """Alone it runs on without slots; afterwards it has its slots and its replica again, and at no
    time is a key missing."""
    cluster = Cluster(tmp_path / "cluster", replicas=True)
    try:
        cluster.start()
        cluster.move(7, cluster.nodes[1])  # so that it has more than one range
        with cluster.client() as client:
            for number in range(KEYS):
                client.set(f"key-{number}", number)
        for leaver, heir in ((0, 1), (1, 2)):
            node = cluster.nodes[leaver]
            before = cluster.slots_of(node)
            left = cluster.take_out(node, cluster.nodes[heir])
            assert node.process
            assert node.state()["cluster_known_nodes"] == "1"
            assert cluster.slots_of(node) == []
            assert set(before) != set(cluster.slots_of(cluster.nodes[heir]))
            with cluster.client() as client:
                assert all(client.get(f"key-{number}") for number in range(KEYS))
            cluster.take_in(left)
            assert cluster.slots_of(node) == before
            assert cluster.replica_of(node) in left.replicas
            node.kill()  # it must load what it has written since it left
            cluster.heal()
            with cluster.client() as client:
                assert all(client.get(f"key-{number}") for number in range(KEYS))
    finally:
        cluster.stop()
