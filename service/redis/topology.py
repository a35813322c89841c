"""Topologies: the interface by which servers behind a URL are found, and what each is made from."""

from typing import Protocol

import msgspec
from redis import exceptions

from service.redis.connection import Argument
from service.redis.node import ConnectionCheck, Node, Timing, accept_any
from service.redis.url import RedisUrl


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


class Topology(Protocol):
    """A way to find the servers behind a URL."""

    def node_for(self, command: tuple[Argument, ...]) -> Node | None:
        """Tell where a command goes; `None` when that must be found out first."""

    async def find(self, command: tuple[Argument, ...]) -> Node:
        """Find out anew where a command goes. Raises `NotConnected`."""

    def moved(self, command: tuple[Argument, ...], error: exceptions.AskError) -> Node:
        """Return the node that a `MOVED` or `ASK` names."""

    async def primaries(self) -> list[Node]:
        """Find all servers that are written to. Raises `NotConnected`."""

    async def unserved(self) -> int:
        """Count the buckets that have no server. Raises `NotConnected`."""

    async def lost(self, node: Node) -> None:
        """Look for another soon: a node does not answer, or is no primary any more."""

    async def aclose(self) -> None: ...
