"""The client of Redis, be that one server, the primary of some Sentinels, or a cluster.

A command is sent once. It is sent again only after a server has said that it did not carry it out
(`MOVED`, `ASK`, `TRYAGAIN`, `READONLY`, `CLUSTERDOWN`), or when there was no connection to send it
on; where a reply is lost, the caller learns that nothing is known.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Any

from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from service.errors import SettingsError
from service.redis import preamble
from service.redis.cluster import Cluster
from service.redis.connection import Argument
from service.redis.fence import Fence
from service.redis.node import ConnectionCheck, Node, NotConnected, Timing, accept_any
from service.redis.preamble import Bounds
from service.redis.primary import Primary
from service.redis.refusals import CommandRefused, lacks_rights, refused, unavailable
from service.redis.topology import BucketCheck, Servers, Topology, accept_buckets
from service.redis.url import RedisUrl
from service.settings import Secret


class RedisClient:
    """Sends commands to Redis. Connects when first needed; follows failovers and moved slots."""

    def __init__(
        self,
        url: Secret,
        min_replicas: int = 0,
        timing: Timing | None = None,
        issuer: str = "",
        bounds: Bounds | None = None,
        check_connection: ConnectionCheck = accept_any,
        fence: Fence | None = None,
        check_buckets: BucketCheck = accept_buckets,
    ) -> None:
        """Send nothing yet. Changes wait for `min_replicas` acknowledgements.

        Where Sentinels or nodes of a cluster name the servers, one whose feed bears the mark of
        another `issuer` is refused. Empty: any will do. `check_connection` looks at each new
        connection, and `check_buckets` at those that a known server gets: they may put buckets
        behind the `fence`, which are not served then.

        Raises:
            SettingsError: the URL, or a file that it names, cannot be read. Does not show it.
        """
        try:
            parsed = RedisUrl.parse(url.reveal())
            parsed.check_files()
        except ValueError as error:
            raise SettingsError(f"SERVICE_REDIS_URL is {error}") from None
        self.min_replicas = min_replicas
        self._timing = timing or Timing()
        in_cluster = parsed.topology == "cluster"
        self.fence = fence or Fence()
        """Which buckets are not served, and what has been answered for in each."""
        self.on_connected: list[Callable[[], None]] = []
        """Called before a new connection is used, to whatever server."""

        async def admit(connection: AbstractConnection) -> None:
            await check_connection(connection)
            for tell in self.on_connected:
                tell()

        servers = Servers(
            parsed, self._timing, min_replicas, issuer, admit, self.fence, check_buckets
        )
        self._topology: Topology = Cluster(servers) if in_cluster else Primary(servers)
        self.topology = parsed.topology
        """`standalone`, `sentinel` or `cluster`."""
        self.before_one_key = ""
        self.before_reading = preamble.before_reading(in_cluster)
        """Lua that stands before each script."""
        self.before_changing = preamble.before_changing(
            bounds or Bounds(), in_cluster, bool(min_replicas)
        )
        """Lua that stands before each script that changes something."""

    def execute(self, *command: Argument) -> Coroutine[Any, Any, Any]:
        """Send a command that reads, and return its reply.

        Raises:
            StoreUnavailable: no reply in time; whether the command was carried out is not known. Or
                the bucket is fenced: `StoreRefuses`.
            CommandRefused: the server has answered with an error, and why.
            redis.exceptions.NoScriptError: it does not know this script, and has run nothing.
        """
        return self._execute(command, False)

    def change(self, *command: Argument) -> Coroutine[Any, Any, Any]:
        """Send a command that changes something, and return its reply.

        Raises:
            RevocationUnconfirmed: it was carried out, but too few replicas have said that they
                have it.
            StoreUnavailable, CommandRefused, NoScriptError: as in `execute`.
        """
        return self._execute(command, True)

    async def ask_all(self, *command: Argument) -> list[Any]:
        """Send a command that names no key to all primaries. Return their replies.

        Raises as `execute`.
        """
        try:
            nodes = await self._topology.primaries()
            return await asyncio.gather(*(node.ask(command, False) for node in nodes))
        except exceptions.ResponseError as error:
            raise refused(error) from error
        except (exceptions.RedisError, OSError) as error:
            raise unavailable(error) from error

    async def scan(self, pattern: bytes) -> AsyncIterator[list[bytes]]:
        """Yield the names of keys like `pattern`, some at a time, some twice. Raises as `execute`.

        It walks through all keys of all primaries: for commands of operators, never for a request.
        """
        try:
            for node in await self._topology.primaries():
                cursor = b"0"
                while True:
                    command = ("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
                    cursor, names = await node.ask(command, False)
                    yield names
                    if cursor == b"0":
                        break
        except exceptions.NoPermissionError:
            message = "Redis does not let this user walk through its keys"
            raise CommandRefused("user", message) from None
        except exceptions.ResponseError as error:
            raise refused(error) from error
        except (exceptions.RedisError, OSError) as error:
            raise unavailable(error) from error

    async def unserved(self) -> int:
        """Count the buckets, of 64, that no server has: their users are not served.

        Raises:
            StoreUnavailable
        """
        try:
            return await self._topology.unserved()
        except (exceptions.RedisError, OSError) as error:
            raise unavailable(error) from error

    def server_of(self, key: bytes) -> object:
        """Tell which server has a key, to be compared; `None`: it is not known now."""
        return self._topology.node_for(("GET", key))

    def go_by(self, other: "RedisClient") -> None:
        """Take over what another client of the same servers finds out of where they are."""
        self._topology.go_by(other._topology)

    async def leave(self, reason: str) -> None:
        """Leave all servers; the next call connects anew. Who waits gets `StoreUnavailable`."""
        with suppress(exceptions.RedisError, OSError):
            for node in await self._topology.primaries():
                await node.drop(reason)

    async def aclose(self) -> None:
        """Close all connections. Whoever still waits gets `StoreUnavailable`."""
        await self._topology.aclose()

    async def _execute(self, command: tuple[Argument, ...], changing: bool) -> Any:
        if self.fence.buckets:
            self.fence.admit(command)
        began = time.monotonic()
        node = self._topology.node_for(command)
        try:
            if node is not None:
                return await node.ask(command, changing)
            cause: exceptions.RedisError = NotConnected("no server is known")
        except (NotConnected, exceptions.ResponseError) as error:
            cause = error
        except (exceptions.RedisError, OSError) as error:
            if node is not None:
                await self._topology.lost(node)
            raise unavailable(error) from error
        try:
            async with asyncio.timeout(began + self._timing.patience - time.monotonic()):
                return await self._elsewhere(command, changing, node, cause)
        except (exceptions.NoScriptError, CommandRefused):
            raise
        except (exceptions.RedisError, OSError) as error:
            raise unavailable(error) from error

    async def _elsewhere(
        self,
        command: tuple[Argument, ...],
        changing: bool,
        node: Node | None,
        cause: exceptions.RedisError,
    ) -> Any:
        """Go on with a command that was certainly not carried out at `node`, for this `cause`."""
        refusals = 0
        while True:
            asking: tuple[tuple[Argument, ...], ...] = ()
            if isinstance(cause, exceptions.AskError):
                there = await self._topology.moved(command, cause)
                if isinstance(cause, exceptions.MovedError):
                    node = there
                else:
                    asking = (("ASKING",),)
            elif node is None or isinstance(cause, NotConnected):
                if node is not None:
                    await self._topology.lost(node)
                node = there = await self._topology.find(command)
            elif _is_moving(cause):
                await asyncio.sleep(_PAUSE)
                there = node
            elif _is_elsewhere(cause) and not refusals:
                refusals = 1
                await self._topology.lost(node)
                node = there = await self._topology.find(command)
            elif isinstance(cause, exceptions.NoScriptError):
                raise cause
            else:
                if lacks_rights(cause):  # the next connection is looked at, and no script sent
                    await node.drop("our user may not run all that scripts run")
                raise refused(cause) from cause
            self.fence.admit(command)  # by what was found out on the way
            try:
                return await there.ask(command, changing, *asking)
            except exceptions.ResponseError as error:
                cause = error


_PAUSE = 0.01
"""Seconds between two questions whether a slot has moved."""


def _is_moving(error: exceptions.RedisError) -> bool:
    """Tell whether the slot is moving: nothing was done, and the end must be waited for."""
    return isinstance(error, exceptions.TryAgainError) or "non local key" in str(error)


def _is_elsewhere(error: exceptions.RedisError) -> bool:
    """Tell whether the server refused what another may carry out, which is looked for once."""
    return isinstance(error, exceptions.ReadOnlyError | exceptions.ClusterDownError)
