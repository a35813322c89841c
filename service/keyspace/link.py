"""One Redis connection, shared by all requests of a process.

Commands of concurrent requests go out in one write, and replies come back in the order of the
commands; so a call costs a future instead of a connection, an eighth of the CPU of a pool. A
request that is cancelled leaves its future behind; the reply finds it done, is dropped, and never
reaches another request.

redis-py makes the connection (TLS, AUTH, database, parser). What it does not do here: repeat. By
default it sends each command up to ten times, scripts included; a repeated logout would answer that
there is no session, a repeated rotation would look like theft.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any

import hiredis
from redis import exceptions
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from service.errors import StartupError, StoreUnavailable
from service.settings import Secret

Argument = bytes | str | int

CONNECT_TIMEOUT, REPLY_TIMEOUT = 0.5, 1.0
"""Seconds. Together under the 2 s in which the contract promises 503 when Redis is gone."""

_MOST_WAITING = 10_000
_NOT_NOW = ("MISCONF", "NOREPLICAS", "LOADING", "BUSY", "MASTERDOWN", "READONLY", "OOM", "TRYAGAIN")
"""How an error reply begins that says: not now. Any other is a defect of ours."""


class Link:
    """Connects when it is first needed, and again after the connection has broken."""

    def __init__(self, url: Secret) -> None:
        """Nothing is sent yet.

        Raises:
            StartupError: the URL cannot be read.
        """
        try:
            self._pool = ConnectionPool.from_url(
                url.reveal(), protocol=2, retry=Retry(NoBackoff(), 0), socket_timeout=None
            )
        except ValueError:
            raise StartupError(
                "SERVICE_REDIS_URL must look like redis://host:6379/0 or unix:///path/redis.sock"
            ) from None
        self._line: _Line | None = None
        self._connecting: asyncio.Task[_Line] | None = None

    async def execute(self, *command: Argument) -> Any:
        """Send one command, once, and return its reply.

        Raises:
            StoreUnavailable: no reply in time; whether the command was carried out is not known.
            redis.exceptions.ResponseError: the server finds fault with the command.
        """
        line = self._line
        try:
            if line is None or line.broken:
                line = await self._connect()
            return await line.ask(command)
        except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
            raise StoreUnavailable("Redis cannot be reached") from error
        except exceptions.ResponseError as error:
            if _says_not_now(error):
                raise StoreUnavailable("Redis cannot take this now") from error
            raise

    async def aclose(self) -> None:
        """Close the connection. Whoever still waits gets `StoreUnavailable`."""
        if self._line is not None:
            await self._line.fail(exceptions.ConnectionError("closed"))

    async def _connect(self) -> "_Line":
        """All who find the link down wait for the same attempt."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._attempt())
        return await asyncio.shield(self._connecting)

    async def _attempt(self) -> "_Line":
        try:
            # redis-py has left this one method without types
            connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await connection.connect()
            self._line = _Line(connection)
            return self._line
        finally:
            self._connecting = None


class _Line:
    """A connection while it lives: what is to be sent, and who waits for what, in order."""

    def __init__(self, connection: AbstractConnection) -> None:
        self.broken = False
        self._connection = connection
        self._outbox: list[bytes] = []
        self._to_send = asyncio.Event()
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._loop = asyncio.get_running_loop()
        work = (self._send, self._receive, self._watch)
        self._tasks = [asyncio.create_task(self._guarded(part)) for part in work]

    def ask(self, command: tuple[Argument, ...]) -> "asyncio.Future[Any]":
        if self.broken:  # between connecting and now
            raise exceptions.ConnectionError("the connection has broken")
        if len(self._waiting) >= _MOST_WAITING:
            raise exceptions.ConnectionError("too many commands wait for a reply")
        reply: asyncio.Future[Any] = self._loop.create_future()
        packed = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub knows pairs
        self._outbox.append(packed)
        self._waiting.append((time.monotonic(), reply))
        self._to_send.set()
        return reply

    async def fail(self, error: Exception) -> None:
        """Give up on the connection: nobody's reply may be taken for another's."""
        if self.broken:
            return
        self.broken = True
        for _, reply in self._waiting:
            if not reply.done():
                reply.set_exception(error)
        self._waiting.clear()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        await self._connection.disconnect(nowait=True)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (exceptions.RedisError, OSError) as error:
            await self.fail(error)

    async def _send(self) -> None:
        """Write what has gathered while the loop served other requests, at once."""
        while True:
            await self._to_send.wait()
            self._to_send.clear()
            batch, self._outbox = self._outbox, []
            await self._connection.send_packed_command(batch, check_health=False)

    async def _receive(self) -> None:
        """Hand each reply to whoever has waited longest."""
        while True:
            try:
                answer = await self._connection.read_response(timeout=inf)
            except exceptions.ResponseError as error:
                answer = error
            if not self._waiting:
                raise exceptions.InvalidResponse("a reply that nobody waits for")
            _, reply = self._waiting.popleft()
            if reply.done():  # its request was cancelled
                continue
            if isinstance(answer, exceptions.ResponseError):
                reply.set_exception(answer)
            else:
                reply.set_result(answer)

    async def _watch(self) -> None:
        """Break off once a reply is overdue: a server that hangs must not hang its clients."""
        while True:
            await asyncio.sleep(REPLY_TIMEOUT / 5)
            if self._waiting and time.monotonic() - self._waiting[0][0] > REPLY_TIMEOUT:
                raise exceptions.TimeoutError("no reply in time")


def _says_not_now(error: exceptions.ResponseError) -> bool:
    return str(error).startswith(_NOT_NOW) or isinstance(
        error, exceptions.ReadOnlyError | exceptions.OutOfMemoryError | exceptions.TryAgainError
    )
