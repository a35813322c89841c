"""The primaries of a cluster, and which of the 64 buckets lies where."""

import asyncio
import random
import time
from contextlib import suppress
from typing import Any

from redis import exceptions
from redis.asyncio.connection import AbstractConnection
from redis.crc import key_slot

from service.keyspace.keys import TAGS, bucket_of
from service.keyspace.line import Argument
from service.keyspace.node import CONNECTION, Node, NotConnected, Timing, opened
from service.keyspace.url import Address, RedisUrl

_SLOTS = [key_slot(tag) for tag in TAGS]
_REST = 0.1
"""Seconds between two looks at the map of a cluster in which something has failed."""


class Cluster:
    """A topology in which each bucket has a place of its own, which may change at any time."""

    def __init__(self, url: RedisUrl, timing: Timing, min_replicas: int) -> None:
        self._url = url
        self._timing = timing
        self._min_replicas = min_replicas
        self._nodes: dict[Address, Node] = {}
        self._homes: list[Node | None] = [None] * len(TAGS)
        self._looking: asyncio.Task[None] | None = None
        self._looked = 0.0

    def node_for(self, command: tuple[Argument, ...]) -> Node | None:
        return self._homes[_bucket(command)]

    async def find(self, command: tuple[Argument, ...]) -> Node:
        await self._look()
        home = self._homes[_bucket(command)]
        if home is None:
            raise NotConnected("no node of the cluster has this slot")
        return home

    def moved(self, command: tuple[Argument, ...], error: exceptions.AskError) -> Node:
        asked = self._homes[_bucket(command)]
        there = self._at((error.host or self._host_of(asked), error.port))
        if isinstance(error, exceptions.MovedError):  # ASK is for one command only
            self._homes[_bucket(command)] = there
        return there

    async def primaries(self) -> list[Node]:
        if None in self._homes:
            await self._look()
        return list({id(home): home for home in self._homes if home is not None}.values())

    async def lost(self, node: Node) -> None:
        self._start_looking()

    async def aclose(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
        for node in self._nodes.values():
            await node.drop("closed")

    async def _look(self) -> None:
        await asyncio.shield(self._start_looking())

    def _start_looking(self) -> "asyncio.Task[None]":
        """Ask for the map, once for all who want to know."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._read_map())
        return self._looking

    async def _read_map(self) -> None:
        """Take the map from the first node that tells one.

        Only primaries are asked, and whom the URL names: one that has left would tell an old map.
        """
        await asyncio.sleep(self._looked + _REST - time.monotonic())
        primaries = [address for address, node in self._nodes.items() if node in self._homes]
        candidates = list({*primaries, *self._url.hosts})
        random.shuffle(candidates)  # one that hangs must not be the first each time
        for address in candidates:
            with suppress(exceptions.RedisError, OSError):
                async with asyncio.timeout(self._timing.connect.total_seconds()):
                    rows = await self._at(address).ask(("CLUSTER", "SLOTS"), False)
                self._take(rows, address)
                break
        self._looked = time.monotonic()

    def _take(self, rows: list[Any], told_by: Address) -> None:
        """Take over a map: rows of first slot, last slot, primary [host, port, …], replicas."""
        for bucket, slot in enumerate(_SLOTS):
            for first, last, primary, *_ in rows:
                if first <= slot <= last:
                    host = (primary[0] or b"").decode() or told_by[0]
                    self._homes[bucket] = self._at((host, primary[1]))

    def _at(self, address: Address) -> Node:
        node = self._nodes.get(address)
        if node is None:

            async def connect() -> AbstractConnection:
                return await opened(self._url.connection(address, **CONNECTION))

            node = self._nodes[address] = Node(connect, self._timing, self._min_replicas)
        return node

    def _host_of(self, node: Node | None) -> str:
        """The host of the node that has named another without its host: they share it."""
        for address, candidate in self._nodes.items():
            if candidate is node:
                return address[0]
        return self._url.hosts[0][0]


def _bucket(command: tuple[Argument, ...]) -> int:
    """The bucket of a command: that of its first key, which stands behind the number of keys in a
    script call, and behind the name in any other."""
    key: Any = command[3] if command[0] in ("EVALSHA", "EVAL") else command[1]
    return bucket_of(key)
