"""A real Valkey Cluster on loopback: its primaries, and a replica for each if asked for."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from redis.cluster import ClusterNode, RedisCluster
from redis.crc import key_slot

from service.embedded.files import find_binary
from service.redis.keys import bucket
from service.settings import Secret
from tools.testbed.access import Addressed
from tools.testbed.ports import free_port
from tools.testbed.redis_server import NetworkServer
from tools.testbed.waiting import wait_until

SLOTS = 16_384


def slot_of(user_id: bytes) -> int:
    """Find where all that Redis holds of a user lies."""
    return key_slot(bucket(user_id).events)


class Node(NetworkServer):
    """One server of a cluster. Its `client` asks this node only, and follows no redirection."""

    def __init__(self, binary: Path, directory: Path, *options: str) -> None:
        self.bus_port = free_port()
        super().__init__(
            binary, directory,
            "--cluster-enabled", "yes",
            "--cluster-port", str(self.bus_port),
            "--repl-diskless-sync-delay", "0",
            *options,
        )  # fmt: skip
        self.id = ""

    def leave_port_to_proxy(self) -> None:
        super().leave_port_to_proxy()
        self._command += ["--cluster-announce-port", str(self.port)]

    def cluster(self, *command: str | int) -> object:
        """Send `CLUSTER …` to this node, past any client that knows what it means."""
        with self.client() as client:
            return client.execute_command("CLUSTER", *command)

    def state(self) -> dict[str, str]:
        """Ask for `CLUSTER INFO` as this node sees it."""
        lines = self.cluster("INFO").decode().splitlines()  # type: ignore[attr-defined]
        return dict(line.split(":", 1) for line in lines)


class Cluster(Addressed):
    """Three primaries, or so many, with equal ranges of slots; their replicas follow in `nodes`."""

    def __init__(
        self,
        directory: Path,
        *,
        primaries: int = 3,
        replicas: bool = False,
        node_timeout: int = 1000,
    ) -> None:
        """`node_timeout` is in milliseconds: a node that is silent for longer has failed."""
        self.nodes = [
            Node(
                find_binary(), directory / f"node-{number}",
                "--cluster-node-timeout", str(node_timeout),
                "--cluster-replica-validity-factor", "0",
            )
            for number in range(2 * primaries if replicas else primaries)
        ]  # fmt: skip
        self._primaries = self.nodes[:primaries]
        self._replicas = self.nodes[primaries:]
        addresses = ",".join(f"127.0.0.1:{node.port}" for node in self._primaries)
        self.url = Secret(f"redis+cluster://{addresses}")

    def start(self) -> "Cluster":
        """Start all nodes and wait until each knows all and serves all slots."""
        for node in self.nodes:
            node.start()
            node.id = _id_of(node)
        first, *others = self.nodes
        for number, node in enumerate(self.nodes):
            node.cluster("SET-CONFIG-EPOCH", number + 1)
        parts = len(self._primaries)
        for number, node in enumerate(self._primaries):
            here = range(SLOTS * number // parts, SLOTS * (number + 1) // parts)
            node.cluster("ADDSLOTSRANGE", here[0], here[-1])
        for node in others:
            first.cluster("MEET", "127.0.0.1", node.port, node.bus_port)
        wait_until(self._is_whole)
        for primary, replica in zip(self._primaries, self._replicas, strict=False):
            wait_until(partial(self._knows, replica, primary))
            replica.cluster("REPLICATE", primary.id)
        wait_until(lambda: all(map(_replicates, self._replicas)))
        return self

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def client(self) -> RedisCluster:
        """Make a client that asks whichever node has the key, for looking from outside."""
        ports = [node.port for node in self.nodes if node.process]
        living = [ClusterNode("127.0.0.1", port) for port in ports]  # type: ignore[no-untyped-call]
        return RedisCluster(startup_nodes=living)

    def heal(self) -> None:
        """Have all slots served again, whatever a test did to the nodes."""
        for node in self.nodes:
            node.heal()
        wait_until(self._is_whole)
        wait_until(lambda: all(n.role() == "master" or _replicates(n) for n in self.nodes))

    def owner(self, slot: int, asked: "Node | None" = None) -> Node:
        """Find the primary that has `slot`, as `asked` or any living node sees it."""
        asked = asked or next(node for node in self.nodes if node.process)
        for first, last, primary, *_ in asked.cluster("SLOTS"):  # type: ignore[attr-defined]
            if first <= slot <= last:
                return self._with_port(primary[1])
        raise AssertionError(f"nobody has slot {slot}")

    def replica_of(self, primary: Node) -> Node:
        """Find one that follows `primary` now."""
        with primary.client() as client:
            return self._with_port(int(client.role()[2][0][1]))

    def move(self, slot: int, to: Node) -> None:
        """Hand a slot over in one step: whoever asks is told MOVED and never sees half."""
        source = self.owner(slot, to)
        source.cluster("MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", to.id)
        wait_until(lambda: _migrated(source) and self.owner(slot, to) is to)

    def move_key_by_key(self, slot: int, to: Node) -> None:
        """Hand a slot over as before Valkey 9: meanwhile ASK, and TRYAGAIN for what is split."""
        source = self.owner(slot, to)
        to.cluster("SETSLOT", slot, "IMPORTING", source.id)
        source.cluster("SETSLOT", slot, "MIGRATING", to.id)
        with source.client() as client:
            # Not redis-py's own call, which makes text of the names.
            while keys := source.cluster("GETKEYSINSLOT", slot, 1):
                client.migrate("127.0.0.1", to.port, keys, 0, 5000)
        for node in (to, source, *self.nodes):
            if node.role() == "master":
                node.cluster("SETSLOT", slot, "NODE", to.id)

    def take_out(self, leaver: Node, heir: Node) -> "LeftCluster":
        """Scale in by a primary, as `--cluster del-node` does: `heir` gets its slots, the others
        forget it, and it is reset. It runs on, alone, with a map of its own."""
        others = [node for node in self.nodes if node is not leaver]
        slots = self.slots_of(leaver)
        followers = _followers(leaver, others)
        self._hand_over(slots, leaver, heir)
        for node in others:
            wait_until(lambda node=node: self._may_forget(node, leaver))  # type: ignore[misc]
            node.cluster("FORGET", leaver.id)
        leaver.cluster("RESET", "SOFT")
        return LeftCluster(leaver, heir, slots, followers)

    def take_in(self, left: "LeftCluster") -> None:
        """Have it join again, with the replicas and the slots that it had."""
        left.node.cluster("RESET", "HARD")  # by its old id it is turned away for a minute
        left.node.id = _id_of(left.node)
        _begin_append_only_file_anew(left.node)
        known = next(node for node in self.nodes if node is not left.node)
        known.cluster("MEET", "127.0.0.1", left.node.port, left.node.bus_port)
        wait_until(self._is_whole)
        for replica in left.replicas:
            wait_until(partial(self._knows, replica, left.node))
            replica.cluster("REPLICATE", left.node.id)
        wait_until(lambda: all(map(_replicates, left.replicas)))
        self._hand_over(left.slots, left.heir, left.node)

    def slots_of(self, node: Node) -> list[tuple[int, int]]:
        """Find the ranges of slots that it has, as it sees it: first and last of each."""
        return [
            (first, last)
            for first, last, primary, *_ in node.cluster("SLOTS")  # type: ignore[attr-defined]
            if primary[1] == node.port
        ]

    def _hand_over(self, slots: list[tuple[int, int]], source: Node, to: Node) -> None:
        """Hand whole ranges over, each slot in one step, and wait until all nodes know it."""
        bounds = [bound for pair in slots for bound in pair]
        source.cluster("MIGRATESLOTS", "SLOTSRANGE", *bounds, "NODE", to.id)
        wait_until(lambda: _migrated(source))
        wait_until(
            lambda: all(self.owner(first, node) is to for first, _ in slots for node in self.nodes)
        )

    def _may_forget(self, node: Node, leaver: Node) -> bool:
        """Whether it follows another by now: who follows the leaver cannot forget it."""
        with node.client() as client:
            role = client.role()
        return role[0] == b"master" or int(role[2]) != leaver.port

    def _with_port(self, port: int) -> Node:
        return next(node for node in self.nodes if node.port == port)

    def _is_whole(self) -> bool:
        states = [node.state() for node in self.nodes]
        return all(
            state["cluster_state"] == "ok" and int(state["cluster_known_nodes"]) == len(self.nodes)
            for state in states
        )

    def _knows(self, node: Node, other: Node) -> bool:
        return other.id.encode() in node.cluster("NODES")  # type: ignore[operator]


class LeftCluster(msgspec.Struct, frozen=True):
    """A primary that was taken out, and what it had."""

    node: Node
    heir: Node
    slots: list[tuple[int, int]]
    replicas: list[Node]


def _id_of(node: Node) -> str:
    return node.cluster("MYID").decode()  # type: ignore[attr-defined,no-any-return]


def _begin_append_only_file_anew(node: Node) -> None:
    """Valkey 9.1 has the reset in the file, where it fails when it is loaded: keys that were moved
    away are still there then, and their slots cannot be imported again."""
    with node.client() as client:
        client.bgrewriteaof()
        wait_until(lambda: not _rewrites(client.info("persistence")))


def _rewrites(persistence: dict[str, Any]) -> bool:
    return bool(persistence["aof_rewrite_in_progress"] or persistence["aof_rewrite_scheduled"])


def _followers(primary: Node, nodes: Iterable[Node]) -> list[Node]:
    ids = {
        line.split()[0].decode()
        for line in primary.cluster("REPLICAS", primary.id)  # type: ignore[attr-defined]
    }
    return [node for node in nodes if node.id in ids]


def _replicates(node: Node) -> bool:
    with node.client() as client:
        return bool(client.info("replication").get("master_link_status") == "up")


def _migrated(source: Node) -> bool:
    """Whether the latest migration from `source` is over.

    Raises:
        AssertionError: it has failed.
    """
    latest = source.cluster("GETSLOTMIGRATIONS")[0]  # type: ignore[index]
    assert latest[b"state"] not in (b"failed", b"canceled"), latest
    return bool(latest[b"state"] == b"success")
