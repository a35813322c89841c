"""One Redis server: connected to when first needed, and again after a connection has broken."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import msgspec
import structlog
from redis import exceptions
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo

from service.redis.connection import Argument, MultiplexedConnection, ReplicatedConnection
from service.redis.fence import Fence
from service.settings import Settings

log = structlog.get_logger()

CONNECTION: dict[str, Any] = {
    "protocol": 2,
    "retry": Retry(NoBackoff(), 0),
    "socket_timeout": None,  # a line waits for all replies at once and has deadlines of its own
    "driver_info": DriverInfo(name="", lib_version=""),  # CLIENT SETINFO needs a leave of its own
}
"""What every connection is made with."""


@asynccontextmanager
async def closed_unless_good(connection: AbstractConnection) -> AsyncIterator[None]:
    """Leave no connection behind that is given up while it is made, for want of time above all."""
    try:
        yield
    except BaseException:  # cancellation, too
        await connection.disconnect(nowait=True)
        raise


async def opened(connection: AbstractConnection) -> AbstractConnection:
    """Open a connection. Raises `redis.exceptions.RedisError` or `OSError`.

    Without a password, ask whether the server wants one. A command with many arguments would not
    learn it: the server hangs up while it still reads, and its error may be lost.
    """
    async with closed_unless_good(connection):
        await connection.connect()  # type: ignore[no-untyped-call]  # redis-py left this one without
        if connection.password is None:
            await connection.send_command("PING", check_health=False)
            with suppress(exceptions.ResponseError):  # it may not, or not now: no matter here
                await connection.read_response()
    return connection


ConnectionCheck = Callable[[AbstractConnection], Awaitable[None]]
"""Looks at a connection before it is used, and raises what speaks against that."""


async def accept_any(connection: AbstractConnection) -> None:
    """Admit every connection."""


class Timing(msgspec.Struct, frozen=True):
    """The timeouts for Redis. Together under the 2 s in which the contract promises 503."""

    connect: timedelta = timedelta(seconds=0.5)
    reply: timedelta = timedelta(seconds=1)

    @classmethod
    def of(cls, settings: Settings) -> "Timing":
        """Read what the settings say."""
        return cls(
            timedelta(milliseconds=settings.redis_connect_timeout_ms),
            timedelta(milliseconds=settings.redis_reply_timeout_ms),
        )

    @property
    def patience(self) -> float:
        """Seconds that a call may take in all, when it is sent from one server to another."""
        return (self.connect + self.reply).total_seconds()


class Node:
    """A server, or whoever is primary at the moment: `connect` decides that anew each time."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[AbstractConnection]],
        timing: Timing,
        min_replicas: int,
        fence: Fence | None = None,
    ) -> None:
        """Connect to nothing yet.

        `connect` opens a connection, and may put buckets behind the `fence`. Changes wait for
        `min_replicas` acknowledgements.
        """
        self._fence = fence = fence or Fence()
        self._asking = _Connector(connect, timing, 0, fence)
        # Apart from the others: a server that waits for replicas reads no more of a connection.
        self._changing = self._asking
        if min_replicas:
            self._changing = _Connector(connect, timing, min_replicas, fence)

    def ask(
        self, command: tuple[Argument, ...], changing: bool, *prefix: tuple[Argument, ...]
    ) -> Awaitable[Any]:
        """Send a command once, right after those of `prefix`, and return its reply.

        Raises:
            NotConnected: it was not sent.
            redis.exceptions.ConnectionError, TimeoutError: it may have been carried out.
            redis.exceptions.ResponseError: the server has answered with this error.
            RevocationUnconfirmed: carried out, but too few replicas have it.
            StoreRefuses: not sent, as the bucket was fenced meanwhile.
        """
        connector = self._changing if changing else self._asking
        line = connector.connection
        if line is None or line.broken or prefix:
            return self._ask(connector, command, prefix)
        return line.ask(command)

    async def _ask(
        self,
        connector: "_Connector",
        command: tuple[Argument, ...],
        prefix: tuple[tuple[Argument, ...], ...],
    ) -> Any:
        line = connector.connection
        if line is None or line.broken:
            line = await connector.connect()
            self._fence.admit(command)  # by what connecting has shown
        for before in prefix:
            line.ask(before).cancel()  # sent all the same; nobody looks at its reply
        return await line.ask(command)

    @property
    def is_connected(self) -> bool:
        """Whether a command would go out over a connection that is there already."""
        made = (self._asking.connection, self._changing.connection)
        return any(line is not None and not line.broken for line in made)

    async def drop(self, reason: str) -> None:
        """Disconnect. Who waits for a reply does not get it; the next call connects anew."""
        for connector in {self._asking, self._changing}:
            if connector.connection is not None:
                await connector.connection.fail(exceptions.ConnectionError(reason))

    async def aclose(self) -> None:
        """Disconnect for good. An attempt to connect that is under way leaves nothing behind."""
        for connector in {self._asking, self._changing}:
            await connector.give_up()
        await self.drop("closed")


class NotConnected(exceptions.ConnectionError):
    """There is no connection, so nothing was sent."""


def _look_at(ended: "asyncio.Task[MultiplexedConnection]") -> None:
    """Look at how it ended: all who waited may have given up, and that is no error."""
    if not ended.cancelled():
        ended.exception()


class _Connector:
    """Keeps a connection, and makes a new one for all who find it broken."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[AbstractConnection]],
        timing: Timing,
        replicas: int,
        fence: Fence,
    ) -> None:
        self.connection: MultiplexedConnection | None = None
        self._open = connect
        self._connect_timeout = timing.connect.total_seconds()
        self._reply_timeout = timing.reply.total_seconds()
        self._replicas = replicas
        self._fence = fence
        self._connecting: asyncio.Task[MultiplexedConnection] | None = None
        self._closed = False

    async def connect(self) -> MultiplexedConnection:
        """Connect anew; all who find the connection broken wait for the same attempt."""
        if self._closed:
            raise NotConnected("closed")
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._attempt())
            self._connecting.add_done_callback(_look_at)
        attempt = self._connecting
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            if attempt.cancelled():
                raise NotConnected("closed") from None
            raise

    async def give_up(self) -> None:
        """End an attempt that is under way, and make no more."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])

    async def _attempt(self) -> MultiplexedConnection:
        try:
            async with asyncio.timeout(self._connect_timeout):
                connection = await self._open()
            if await connection.can_read():  # what nobody has asked for, or its end
                await connection.disconnect(nowait=True)
                raise exceptions.ConnectionError("the connection has broken")
            if self._replicas:
                self.connection = ReplicatedConnection(
                    connection, self._reply_timeout, self._replicas
                )
            else:
                self.connection = MultiplexedConnection(connection, self._reply_timeout)
            self.connection.on_broken = lambda: self._fence.on_lost()
            return self.connection
        except (exceptions.RedisError, OSError) as error:  # TimeoutError is an OSError
            raise NotConnected("no connection") from error
        except Exception as error:  # a host that is no name, a certificate that is none, …
            log.error("redis.connecting", exc_info=error)
            raise NotConnected("no connection") from error
        finally:
            self._connecting = None
