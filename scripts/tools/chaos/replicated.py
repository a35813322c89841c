"""Redis servers with replicas, each behind a proxy on the port by which everybody knows it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from redis.exceptions import ResponseError

from service.settings import Secret
from tools.testbed.cluster import Cluster, LeftCluster, slot_of
from tools.testbed.proxy import Proxy
from tools.testbed.redis_server import NetworkServer, RedisServer
from tools.testbed.sentinel import SentinelTrio

_DOWN_AFTER = 700
"""Milliseconds."""


class _Proxies:
    """One for each server, under the port that the server has left to it."""

    def __init__(self, servers: Sequence[NetworkServer]) -> None:
        self.of: dict[RedisServer, Proxy] = {}
        for server in servers:
            server.leave_port_to_proxy()
            self.of[server] = Proxy(server.directory / "redis.sock")
        self._ports = [server.port for server in servers]

    async def start(self) -> None:
        for proxy, port in zip(self.of.values(), self._ports, strict=True):
            await proxy.start(port)

    async def stop(self) -> None:
        for proxy in self.of.values():
            await proxy.stop()

    def replies_lost(self) -> int:
        return sum(proxy.replies_lost for proxy in self.of.values())

    def heal(self) -> None:
        for proxy in self.of.values():
            proxy.heal()


class SentinelServers:
    """A primary and two replicas, watched by three Sentinels."""

    def __init__(self, directory: Path, acknowledgements: int) -> None:
        self.acknowledgements = acknowledgements
        self._trio = SentinelTrio(directory, down_after=_DOWN_AFTER)
        self._proxies = _Proxies(self._trio.servers)

    @property
    def url(self) -> Secret:
        return self._trio.url

    async def start(self) -> None:
        await self._proxies.start()
        await asyncio.to_thread(self._trio.start)

    async def stop(self) -> None:
        await asyncio.to_thread(self._trio.stop)
        await self._proxies.stop()

    async def heal(self) -> None:
        self._proxies.heal()
        await asyncio.to_thread(self._trio.heal)

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

    def proxies(self) -> list[Proxy]:
        return list(self._proxies.of.values())

    def proxy(self, server: RedisServer) -> Proxy:
        return self._proxies.of[server]

    def replies_lost(self) -> int:
        return self._proxies.replies_lost()


def _slot(pick: int) -> int:
    """That of one of the 64 buckets."""
    return slot_of(bytes((pick % 64,)))


class ClusterServers:
    """Three primaries with a replica each."""

    def __init__(self, directory: Path, acknowledgements: int) -> None:
        self.acknowledgements = acknowledgements
        self._cluster = Cluster(directory, replicas=True)
        self._proxies = _Proxies(self._cluster.nodes)

    @property
    def url(self) -> Secret:
        return self._cluster.url

    async def start(self) -> None:
        await self._proxies.start()
        await asyncio.to_thread(self._cluster.start)

    async def stop(self) -> None:
        await asyncio.to_thread(self._cluster.stop)
        await self._proxies.stop()

    async def heal(self) -> None:
        self._proxies.heal()
        await asyncio.to_thread(self._cluster.heal)

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

    def proxies(self) -> list[Proxy]:
        return list(self._proxies.of.values())

    def proxy(self, server: RedisServer) -> Proxy:
        return self._proxies.of[server]

    def replies_lost(self) -> int:
        return self._proxies.replies_lost()
