"""The one server that is written to: the one that the URL names, or whom Sentinels call primary."""

import asyncio
import time
from contextlib import suppress

import structlog
from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from service.keyspace.line import Argument
from service.keyspace.node import CONNECTION, Node, Timing, opened
from service.keyspace.url import Address, RedisUrl

log = structlog.get_logger()

_LOOK_EVERY = 0.5
"""Seconds between two looks at who is primary. One that hung while another took its place, and
then goes on, takes commands for some seconds until a Sentinel has told it; a pod must have left it
by then. So each look asks the Sentinels, and asks the server itself for a sign of life: one that
hangs is left within the reply timeout, before Sentinels call it down."""

_TRUST = 2 * _LOOK_EVERY
"""Seconds that a look holds good. After more, this process itself has hung, maybe together with the
primary, and looks before it sends anything."""


class Primary:
    """A topology with a single place for all keys."""

    def __init__(self, url: RedisUrl, timing: Timing, min_replicas: int) -> None:
        self._url = url
        self._sentinels = url.hosts if url.topology == "sentinel" else ()
        self._sentinel_patience = timing.connect.total_seconds() * 0.3  # twice; one may hang
        self._known: Address | None = None
        self._watching: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._trusted_until = 0.0
        self._node = Node(self._connect, timing, min_replicas)

    def node_for(self, command: tuple[Argument, ...]) -> Node | None:
        if self._watching is not None and time.monotonic() > self._trusted_until:
            return None
        return self._node

    async def find(self, command: tuple[Argument, ...]) -> Node:
        if self._watching is not None and time.monotonic() > self._trusted_until:
            await self._look()
        return self._node  # which asks the Sentinels when it connects

    def moved(self, command: tuple[Argument, ...], error: exceptions.AskError) -> Node:
        raise error  # a node of a cluster, for which the URL has another form

    async def primaries(self) -> list[Node]:
        return [self._node]

    async def unserved(self) -> int:
        return 0

    async def lost(self, node: Node) -> None:
        await node.drop("another server may be primary now")

    async def aclose(self) -> None:
        for task in (self._watching, self._looking):
            if task is not None:
                task.cancel()
        await self._node.drop("closed")

    async def _connect(self) -> AbstractConnection:
        if not self._sentinels:
            host = self._url.hosts[0] if self._url.hosts else None
            return await opened(self._url.connection(host, **CONNECTION))
        named = await self._ask_sentinels()
        await self._follow(named)
        connection = await opened(self._url.connection(named, **CONNECTION))
        await connection.send_command("ROLE")
        role = await connection.read_response()
        # One that hung while another took its place may have come to just now, and say "master".
        still_named = await self._ask_sentinels()
        if role[0] != b"master" or not named == still_named == self._known:
            await connection.disconnect(nowait=True)
            raise exceptions.ConnectionError("the primary has just been demoted")
        self._trusted_until = time.monotonic() + _TRUST
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())
        return connection

    async def _ask_sentinels(self) -> Address:
        """Who is primary, from the Sentinel that knows of the latest failover."""
        answers = await asyncio.gather(*(self._ask(sentinel) for sentinel in self._sentinels))
        known = [answer for answer in answers if answer is not None]
        if not known:
            raise exceptions.ConnectionError("no Sentinel knows who is primary")
        return max(known)[1]

    async def _ask(self, sentinel: Address) -> tuple[int, Address] | None:
        """The epoch that a Sentinel is in, and whom it calls primary; `None`: it does not say."""
        connection = self._url.sentinel_connection(sentinel, **CONNECTION)
        with suppress(exceptions.RedisError, OSError):
            try:
                async with asyncio.timeout(self._sentinel_patience):
                    await opened(connection)
                    name = self._url.primary
                    await connection.send_command("SENTINEL", "MASTER", name)
                    fields: list[bytes] = await connection.read_response()
                    # The fields still name the old one while the others learn of the new.
                    await connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)
                    host, port = await connection.read_response()
            finally:
                await connection.disconnect(nowait=True)
            epoch = int(fields[fields.index(b"config-epoch") + 1])
            return epoch, (host.decode(), int(port))
        return None

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            await self._look()

    async def _look(self) -> None:
        """Make sure who is primary, once for all who want to know."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._leave_unless_primary())
        await asyncio.shield(self._looking)

    async def _follow(self, primary: Address) -> None:
        """Leave the server that was primary so far, with all connections, if it is another."""
        if primary == self._known:
            return
        if self._known is not None:
            log.warning("redis.failover", primary=f"{primary[0]}:{primary[1]}")
        self._known = primary
        await self._node.drop("another server is primary now")

    async def _leave_unless_primary(self) -> None:
        """Leave the server unless the Sentinels name it, or cannot be asked, and it agrees."""
        with suppress(exceptions.RedisError, OSError):
            await self._follow(await self._ask_sentinels())
        try:
            role = await self._node.ask(("ROLE",), False)
            if role[0] != b"master":
                await self._node.drop("the primary was demoted")
        except (exceptions.RedisError, OSError):
            await self._node.drop("the primary does not answer")
        self._trusted_until = time.monotonic() + _TRUST
