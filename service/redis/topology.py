"""Topologies: the interface by which servers behind a URL are found, and what each is made from."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec
from redis import exceptions

from service.redis.connection import Argument
from service.redis.fence import Fence
from service.redis.node import ConnectionCheck, Node, Timing, accept_any
from service.redis.url import RedisUrl

BucketCheck = Callable[[Node, Sequence[int]], Awaitable[None]]
"""Looks at buckets that a server has got which is connected to, before they are served."""


async def accept_buckets(node: Node, buckets: Sequence[int]) -> None:
    """Look at nothing."""


class Servers(msgspec.Struct, frozen=True):
    """What is known of the servers before any is asked."""

    url: RedisUrl
    timing: Timing
    min_replicas: int
    """How many must have acknowledged a change before it counts."""

    issuer: str = ""
    """Whose mark the feed of a server must bear that Sentinels or nodes name; empty: any."""

    check_connection: ConnectionCheck = accept_any
    """Looks at each new connection."""

    fence: Fence = msgspec.field(default_factory=Fence)
    """Which buckets are not served."""

    check_buckets: BucketCheck = accept_buckets

    async def check_gained(self, before: Sequence[Node | None], now: Sequence[Node | None]) -> None:
        """Look at the buckets that lie elsewhere now, where a connection will not be looked at."""
        gained: dict[Node, list[int]] = {}
        for bucket, (there, here) in enumerate(zip(before, now, strict=True)):
            if here is not None and here is not there and here.is_connected:
                gained.setdefault(here, []).append(bucket)
        for node, buckets in gained.items():
            await self.check_buckets(node, buckets)


class Topology(Protocol):
    """A way to find the servers behind a URL."""

    def node_for(self, command: tuple[Argument, ...]) -> Node | None:
        """Tell where a command goes; `None` when that must be found out first."""

    async def find(self, command: tuple[Argument, ...]) -> Node:
        """Find out anew where a command goes. Raises `NotConnected`."""

    async def moved(self, command: tuple[Argument, ...], error: exceptions.AskError) -> Node:
        """Return the node that a `MOVED` or `ASK` names."""

    async def primaries(self) -> list[Node]:
        """Find all servers that are written to. Raises `NotConnected`."""

    async def unserved(self) -> int:
        """Count the buckets that have no server. Raises `NotConnected`."""

    async def lost(self, node: Node) -> None:
        """Look for another soon: a node does not answer, or is no primary any more."""

    def go_by(self, other: "Topology") -> None:
        """Take over what another one of the same servers finds, and look only with a reason."""

    async def aclose(self) -> None: ...
