"""The Redis servers of a run, each behind a proxy that the pods go through."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from redis.exceptions import ResponseError

from service.embedded.files import find_binary
from service.settings import Secret
from tools.chaos.power import Power
from tools.testbed.cluster import Cluster, LeftCluster, slot_of
from tools.testbed.proxy import Proxy
from tools.testbed.redis_server import NetworkServer, RedisServer
from tools.testbed.sentinel import SentinelTrio

_DOWN_AFTER = 700
"""Milliseconds."""


class Redis(ABC):
    """Servers, as the pods and the faults see them."""

    def __init__(
        self, servers: Any, proxies: Mapping[RedisServer, Proxy], acknowledgements: int
    ) -> None:
        """`servers` are what of the testbed is started and stopped."""
        self._servers = servers
        self._proxies = proxies
        self.acknowledgements = acknowledgements
        """Replicas that have a copy before a change is answered: SERVICE_REDIS_MIN_REPLICAS."""

    @property
    def url(self) -> Secret:
        """What the pods connect to."""
        url: Secret = self._servers.url
        return url

    async def start(self) -> None:
        """Start the proxies, each on the port by which everybody knows its server, and these."""
        for server, proxy in self._proxies.items():
            await proxy.start(getattr(server, "port", 0))
        await asyncio.to_thread(self._servers.start)

    async def stop(self) -> None:
        await asyncio.to_thread(self._servers.stop)
        for proxy in self.proxies():
            await proxy.stop()

    async def heal(self) -> None:
        """Have all run and serve again, whatever was done to them."""
        for proxy in self.proxies():
            proxy.heal()
        await asyncio.to_thread(self._servers.heal)

    @abstractmethod
    def primary(self, pick: int) -> RedisServer:
        """Find one that takes writes now. `pick` is any number."""

    @abstractmethod
    def replica(self, pick: int) -> RedisServer:
        """Find one that follows another now."""

    @abstractmethod
    def groups(self) -> list[list[RedisServer]]:
        """List the servers that have the same data by now, each primary ahead of its replicas."""

    def proxies(self) -> list[Proxy]:
        """List what stands before each server."""
        return list(self._proxies.values())

    def proxy(self, server: RedisServer) -> Proxy:
        """Find what stands before this one."""
        return self._proxies[server]

    def replies_lost(self) -> int:
        """Count them, since the start."""
        return sum(proxy.replies_lost for proxy in self.proxies())


class Standalone(Redis):
    """One server on redis.conf."""

    def __init__(self, directory: Path, appendfsync: str) -> None:
        server = RedisServer(find_binary(), directory, "--appendfsync", appendfsync)
        self._power = Power(server)
        self._watching: asyncio.Task[None] | None = None
        super().__init__(server, {server: Proxy(directory / "redis.sock")}, 0)

    @property
    def url(self) -> Secret:
        [proxy] = self.proxies()
        return Secret(f"redis://127.0.0.1:{proxy.port}/0")

    async def start(self) -> None:
        await super().start()
        self._watching = asyncio.create_task(self._power.watch())

    async def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        await super().stop()

    def cut_power(self) -> None:
        """Kill the server, and lose what it has not synced."""
        self._power.cut(*self.proxies())

    def primary(self, pick: int) -> RedisServer:
        [server] = self._proxies
        return server

    def replica(self, pick: int) -> RedisServer:
        raise LookupError("it has no replica")

    def groups(self) -> list[list[RedisServer]]:
        return [list(self._proxies)]


def _before(servers: Sequence[NetworkServer]) -> dict[RedisServer, Proxy]:
    """Put a proxy before each server, under the port that the server leaves to it."""
    for server in servers:
        server.leave_port_to_proxy()
    return {server: Proxy(server.directory / "redis.sock") for server in servers}


class SentinelServers(Redis):
    """A primary and two replicas, watched by three Sentinels."""

    def __init__(self, directory: Path, acknowledgements: int) -> None:
        self._trio = SentinelTrio(directory, down_after=_DOWN_AFTER)
        super().__init__(self._trio, _before(self._trio.servers), acknowledgements)

    async def fail_over(self) -> str:
        """Have the Sentinels make another server primary, though this one is well. Its port."""
        try:
            return str((await asyncio.to_thread(self._trio.fail_over)).port)
        except ResponseError as error:  # such as: one is under way already
            return str(error)

    def primary(self, pick: int) -> RedisServer:
        return self._trio.primary()

    def replica(self, pick: int) -> RedisServer:
        return self._trio.replicas()[pick % 2]

    def groups(self) -> list[list[RedisServer]]:
        return [[self._trio.primary(), *self._trio.replicas()]]


def _slot(pick: int) -> int:
    """Find that of one of the 64 buckets."""
    return slot_of(bytes((pick % 64,)))


class ClusterServers(Redis):
    """Three primaries with a replica each."""

    def __init__(self, directory: Path, acknowledgements: int) -> None:
        self._cluster = Cluster(directory, replicas=True)
        super().__init__(self._cluster, _before(self._cluster.nodes), acknowledgements)

    async def move_slots(self, pick: int, *, key_by_key: bool) -> str:
        """Give ten slots that are in use to a primary picked at random. Its port."""
        to = self._cluster.owner(_slot(pick // 64))
        move = self._cluster.move_key_by_key if key_by_key else self._cluster.move
        for slot in (_slot(pick + 7 * number) for number in range(10)):
            if self._cluster.owner(slot, to) is not to:
                await asyncio.to_thread(move, slot, to)
        return str(to.port)

    async def take_out(self, pick: int) -> LeftCluster:
        """Have a primary leave, whose slots go to another one, both picked at random."""
        leaver = self._cluster.owner(_slot(pick))
        heirs = {self._cluster.owner(_slot(bucket)) for bucket in range(64)} - {leaver}
        by_port = sorted(heirs, key=lambda node: node.port)
        heir = by_port[pick // 64 % len(by_port)]
        return await asyncio.to_thread(self._cluster.take_out, leaver, heir)

    async def take_in(self, left: LeftCluster) -> None:
        """Have it back, with what it had."""
        await asyncio.to_thread(self._cluster.take_in, left)

    def primary(self, pick: int) -> RedisServer:
        return self._cluster.owner(_slot(pick))

    def replica(self, pick: int) -> RedisServer:
        return self._cluster.replica_of(self._cluster.owner(_slot(pick)))

    def groups(self) -> list[list[RedisServer]]:
        owners = {self._cluster.owner(_slot(bucket)) for bucket in range(64)}
        by_port = sorted(owners, key=lambda node: node.port)
        return [[owner, self._cluster.replica_of(owner)] for owner in by_port]
