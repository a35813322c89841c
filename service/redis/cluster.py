"""The primaries of a cluster, and which of the 64 buckets lies where."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from service.errors import StoreRefuses
from service.redis import refusals
from service.redis.cluster_map import (
    ClusterMap,
    Maps,
    agreed,
    by_cluster,
    continued,
    members_of,
    told_by_most,
)
from service.redis.connection import Argument
from service.redis.feed_mark import issuer_in
from service.redis.fence import first_key
from service.redis.identity import refuse_foreign
from service.redis.keys import TAGS, bucket_of, numbered
from service.redis.node import CONNECTION, Node, NotConnected, closed_unless_good, opened
from service.redis.topology import Servers, Topology
from service.redis.url import Address
from service.repeating import repeat

_REST = 0.1
"""Seconds between two looks at the map of a cluster in which something has failed."""

_LOOK_EVERY = 2.0
"""Seconds between two looks without a reason: a node that has left, and answers as if it had not,
is noticed by nothing else."""


class Cluster:
    """A topology in which each bucket has a place of its own, which may change at any time."""

    def __init__(self, servers: Servers) -> None:
        """Connect to nothing yet."""
        self._servers = servers
        self._nodes: dict[Address, Node] = {}
        self._primaries: list[Node | None] = [None] * len(TAGS)
        self._members: frozenset[bytes] = frozenset()
        self._refusal: StoreRefuses | None = None
        self._looking: asyncio.Task[None] | None = None
        self._looked = 0.0
        self._refreshing: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._led: list[Cluster] = []
        self._leader: Cluster | None = None

    def node_for(self, command: tuple[Argument, ...]) -> Node | None:
        return self._primaries[_bucket(command)]

    async def find(self, command: tuple[Argument, ...]) -> Node:
        await self._look()
        primary = self._primaries[_bucket(command)]
        if primary is None:
            reason = self._refusal or (refusals.NO_SLOT if self._members else None)
            raise NotConnected("no primary") from reason
        return primary

    async def moved(self, command: tuple[Argument, ...], error: exceptions.AskError) -> Node:
        bucket = _bucket(command)
        asked = self._primaries[bucket]
        there = self._at((error.host or self._host_of(asked), error.port))
        if isinstance(error, exceptions.MovedError):  # ASK is for one command only
            if there is not asked and there.is_connected:
                await self._servers.check_buckets(there, [bucket])
            self._primaries[bucket] = there
        return there

    async def primaries(self) -> list[Node]:
        if None in self._primaries:
            await self._look()
        found = list({id(node): node for node in self._primaries if node is not None}.values())
        if not found:
            raise NotConnected("no map") from self._refusal
        return found

    async def unserved(self) -> int:
        await self.primaries()
        return self._primaries.count(None)

    async def lost(self, node: Node) -> None:
        self._start_looking()

    def go_by(self, other: Topology) -> None:
        if isinstance(other, Cluster):
            other._led.append(self)
            self._leader = other

    async def aclose(self) -> None:
        if self._leader is not None:
            self._leader._led.remove(self)
            self._leader = None
        while self._led:
            self._led.pop()._look_alone()
        for task in (self._looking, self._refreshing, *self._retiring):
            if task is not None:
                task.cancel()
        for node in self._nodes.values():
            await node.aclose()

    async def _look(self) -> None:
        await asyncio.shield(self._start_looking())

    def _start_looking(self) -> "asyncio.Task[None]":
        """Ask for the map, once for all who want to know."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._read_map())
        if self._refreshing is None and self._leader is None:
            self._refreshing = asyncio.create_task(self._refresh())
        return self._looking

    def _look_alone(self) -> None:
        """Go by nobody's looks any more."""
        self._leader = None
        if self._looking is not None:  # it has been used
            self._start_looking()

    async def _refresh(self) -> None:
        await asyncio.sleep(_LOOK_EVERY)
        await repeat("redis.clusterMap", self._look, _LOOK_EVERY)

    async def _read_map(self) -> None:
        """Take over what the majority of the nodes tells.

        Only primaries are asked, and whom the URL names.
        """
        await asyncio.sleep(self._looked + _REST - time.monotonic())
        try:
            known = [address for address, node in self._nodes.items() if node in self._primaries]
            asked = list(dict.fromkeys([*known, *self._servers.url.hosts]))
            self._refusal = None
            answers = await asyncio.gather(*(self._ask(address) for address in asked))
            told = {at: one for at, one in zip(asked, answers, strict=True) if one is not None}
            if (maps := await self._ours(told)) is not None:
                await self._take(maps, told)
        finally:
            self._looked = time.monotonic()

    async def _ask(self, address: Address) -> ClusterMap | None:
        try:
            async with asyncio.timeout(self._servers.timing.connect.total_seconds()):
                rows = await self._at(address).ask(("CLUSTER", "SLOTS"), False)
            return ClusterMap.read(rows, address)
        except (exceptions.RedisError, OSError) as error:
            if isinstance(reason := refusals.unavailable(error), StoreRefuses):
                self._refusal = reason  # told, unless another node answers
            return None

    async def _ours(self, told: Maps) -> Maps | None:
        """Choose the maps of the cluster that is meant, where nodes of several have answered.

        It is the one that we know, by the nodes that it has; at first, the one whose feed bears our
        mark. One without a mark must be told by most of the nodes in the URL that have slots.
        """
        ours = continued(by_cluster(told), self._members)
        clusters = ours or by_cluster(told)
        if len(clusters) == 1 and (ours or not self._servers.issuer):
            return clusters[0]
        if not clusters:
            self._refusal = refusals.NO_MAP if told else self._refusal
            return None
        owners = [await self._owner(agreed(maps, told)) for maps in clusters]
        if self._servers.issuer in owners:
            return clusters[owners.index(self._servers.issuer)]
        nobodys = [maps for maps, owner in zip(clusters, owners, strict=True) if owner is None]
        foreign = [host for maps in clusters if maps not in nobodys for host in maps]
        voters = [host for host in self._servers.url.hosts if host not in foreign]
        if meant := told_by_most(nobodys, voters, told):
            return meant
        self._refusal = refusals.TWO_CLUSTERS if len(nobodys) > 1 else refusals.TOO_FEW
        if theirs := next(filter(None, owners), None):
            self._refusal = StoreRefuses(
                "foreign", str(refusals.ForeignServer(theirs, self._servers.issuer))
            )
        return None

    async def _owner(self, primaries: Sequence[Address | None]) -> str | None:
        """Read whose mark the feed of a cluster bears; `None`: nobody's, or no node tells."""
        if not self._servers.issuer:
            return None
        asked = {address: bucket for bucket, address in enumerate(primaries) if address is not None}
        for address, bucket in asked.items():
            command = ("XREVRANGE", numbered(bucket).issuer, "+", "-", "COUNT", 2)
            with suppress(exceptions.RedisError, OSError, StoreRefuses):  # the next, if it is down
                async with asyncio.timeout(self._servers.timing.connect.total_seconds() / 2):
                    return issuer_in(await self._at(address).ask(command, False)) or None
        return None

    async def _take(self, maps: Maps, told: Maps) -> None:
        """Take over a map, and leave the nodes that it does not have."""
        self._refusal = None
        self._members = members_of(maps.values())
        primaries = [at and self._at(at) for at in agreed(maps, told)]
        await self._servers.check_gained(self._primaries, primaries)
        self._primaries = primaries
        for address, node in list(self._nodes.items()):
            if node not in self._primaries and address not in self._servers.url.hosts:
                del self._nodes[address]
                task = asyncio.create_task(self._retire(node))
                self._retiring.add(task)
                task.add_done_callback(self._retiring.discard)
        for other in self._led:
            with suppress(exceptions.RedisError, OSError):  # it looks itself when it has to
                await other._take(maps, told)

    async def _retire(self, node: Node) -> None:
        """Disconnect from a node that has left, once whoever waits for a reply has it."""
        await asyncio.sleep(self._servers.timing.reply.total_seconds())
        await node.drop("the node has left the cluster")

    def _at(self, address: Address) -> Node:
        node = self._nodes.get(address)
        if node is None:

            async def connect() -> AbstractConnection:
                connection = await opened(self._servers.url.connection(address, **CONNECTION))
                async with closed_unless_good(connection):
                    if node in self._primaries:  # another may have its address by now
                        bucket = self._primaries.index(node)
                        await refuse_foreign(connection, self._servers.issuer, bucket)
                    await self._servers.check_connection(connection)
                return connection

            node = self._nodes[address] = Node(
                connect, self._servers.timing, self._servers.min_replicas, self._servers.fence
            )
        return node

    def _host_of(self, node: Node | None) -> str:
        """Return the host of the node that has named another without its host: they share it."""
        hosts = [at[0] for at, candidate in self._nodes.items() if candidate is node]
        return next(iter(hosts), self._servers.url.hosts[0][0])


def _bucket(command: tuple[Argument, ...]) -> int:
    key: Any = first_key(command)
    return bucket_of(key)
