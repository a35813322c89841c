"""How the servers behind a URL are found: one interface, and what each way of it is made from."""

from typing import Protocol

import msgspec
from redis import exceptions

from service.redis.connection import Argument
from service.redis.node import Admission, Node, Timing, admit_any
from service.redis.url import RedisUrl


class Servers(msgspec.Struct, frozen=True):
    """What is known of the servers before any is asked."""

    url: RedisUrl
    timing: Timing
    min_replicas: int
    """How many must have acknowledged a change before it counts."""

    issuer: str = ""
    """Whose mark the feed of a server must bear that Sentinels or nodes name; empty: any."""

    admit: Admission = admit_any
    """Looks at each new connection."""


class Topology(Protocol):
    """How the servers behind a URL are found."""

    def node_for(self, command: tuple[Argument, ...]) -> Node | None:
        """Where a command goes; `None` when that must be found out first."""

    async def find(self, command: tuple[Argument, ...]) -> Node:
        """The same, found out anew. Raises `NotConnected`."""

    def moved(self, command: tuple[Argument, ...], error: exceptions.AskError) -> Node:
        """The node that a `MOVED` or `ASK` names."""

    async def primaries(self) -> list[Node]:
        """All servers that are written to. Raises `NotConnected`."""

    async def unserved(self) -> int:
        """How many buckets have no server. Raises `NotConnected`."""

    async def lost(self, node: Node) -> None:
        """A node does not answer, or is no primary any more: look for another soon."""

    async def aclose(self) -> None: ...
