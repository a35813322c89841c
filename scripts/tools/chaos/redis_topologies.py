"""The Redis servers of a run, each behind a proxy that the pods go through."""

import asyncio
from pathlib import Path
from typing import Protocol

from service.embedded.files import find_binary
from service.settings import Secret
from tools.chaos.power import Power
from tools.testbed.proxy import Proxy
from tools.testbed.redis_server import RedisServer


class Redis(Protocol):
    """Servers, as the pods and the faults see them."""

    acknowledgements: int
    """Replicas that have a copy before a change is answered: SERVICE_REDIS_MIN_REPLICAS."""

    @property
    def url(self) -> Secret:
        """What the pods connect to."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def heal(self) -> None:
        """Whatever was done to them, all run and serve again."""

    def primary(self, pick: int) -> RedisServer:
        """One that takes writes now. `pick` is any number."""

    def replica(self, pick: int) -> RedisServer:
        """One that follows another now."""

    def proxies(self) -> list[Proxy]:
        """What stands before each server."""

    def proxy(self, server: RedisServer) -> Proxy:
        """What stands before this one."""

    def replies_lost(self) -> int:
        """How many, since the start."""


class Standalone:
    """One server on redis.conf."""

    acknowledgements = 0

    def __init__(self, directory: Path, appendfsync: str = "always") -> None:
        directory.mkdir(parents=True)
        self._server = RedisServer(find_binary(), directory, "--appendfsync", appendfsync)
        self._proxy = Proxy(directory / "redis.sock")
        self._power = Power(self._server)
        self._watching: asyncio.Task[None] | None = None

    @property
    def url(self) -> Secret:
        return Secret(f"redis://127.0.0.1:{self._proxy.port}/0")

    async def start(self) -> None:
        await asyncio.to_thread(self._server.start)
        await self._proxy.start()
        self._watching = asyncio.create_task(self._power.watch())

    async def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        await self._proxy.stop()
        await asyncio.to_thread(self._server.stop)

    async def heal(self) -> None:
        self._proxy.heal()
        await asyncio.to_thread(self._server.resume_or_start)

    def cut_power(self) -> None:
        """The server is gone, and with it what it has not synced."""
        self._power.cut(self._proxy)

    def primary(self, pick: int) -> RedisServer:
        return self._server

    def replica(self, pick: int) -> RedisServer:
        raise LookupError("it has no replica")

    def proxies(self) -> list[Proxy]:
        return [self._proxy]

    def proxy(self, server: RedisServer) -> Proxy:
        return self._proxy

    def replies_lost(self) -> int:
        return self._proxy.replies_lost
