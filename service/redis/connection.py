"""One connection to a Redis server, shared by all requests of a process.

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
import structlog
from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from service.errors import RevocationUnconfirmed
from service.reply_times import REPLY_TIMES

log = structlog.get_logger()

Argument = bytes | str | int

_MOST_WAITING = 10_000
_WAIT_SHARE = 0.4
"""The share of the time for a reply in which the server waits for replicas. A batch may have to
wait for the one before it to be given up, and must then still be answered in time."""


class MultiplexedConnection:
    """A connection while it lives: what is to be sent, and who waits for what, in order."""

    def __init__(self, connection: AbstractConnection, reply_timeout: float) -> None:
        """Take over an open `connection`. `reply_timeout` is in seconds."""
        self.broken = False
        self.on_broken: Callable[[], None] | None = None
        self._connection = connection
        self._reply_timeout = reply_timeout
        self._outbox: list[bytes] = []
        self._to_send = asyncio.Event()
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._loop = asyncio.get_running_loop()
        work = (self._send, self._receive, self._watch)
        self._tasks = [asyncio.create_task(self._guarded(part)) for part in work]

    def ask(self, command: tuple[Argument, ...]) -> "asyncio.Future[Any]":
        """Send a command once. Return its reply, or raise a `redis.exceptions.RedisError`.

        Commands of one turn of the event loop follow each other without another between them.
        """
        if self.broken:  # between connecting and now
            raise exceptions.ConnectionError("the connection has broken")
        if len(self._waiting) >= _MOST_WAITING:
            raise exceptions.ConnectionError("too many commands wait for a reply")
        reply: asyncio.Future[Any] = self._loop.create_future()
        self._outbox.append(_packed(command))
        self._waiting.append((time.monotonic(), reply))
        self._to_send.set()
        return reply

    async def fail(self, error: Exception) -> None:
        """Give up on the connection: nobody's reply may be taken for another's."""
        if self.broken:
            return
        self.broken = True
        if self.on_broken is not None:
            self.on_broken()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        for reply in self._unanswered():
            _settle(reply, error)
        self._waiting.clear()
        await self._connection.disconnect(nowait=True)

    def _unanswered(self) -> list["asyncio.Future[Any]"]:
        return [reply for _, reply in self._waiting]

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (exceptions.RedisError, OSError) as error:
            await self.fail(error)
        except Exception as error:  # whatever ended one part, nobody may wait for what it did
            log.error("redis.connection", exc_info=error)
            await self.fail(exceptions.ConnectionError("the connection was given up"))

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
            asked_at, reply = self._waiting.popleft()
            REPLY_TIMES.add(time.monotonic() - asked_at)
            self._answer(reply, answer)

    def _answer(self, reply: "asyncio.Future[Any]", answer: Any) -> None:
        _settle(reply, answer)

    async def _watch(self) -> None:
        """Break off once a reply is overdue: a server that hangs must not hang its clients."""
        while True:
            await asyncio.sleep(self._reply_timeout / 5)
            if self._waiting and time.monotonic() - self._waiting[0][0] > self._reply_timeout:
                raise exceptions.TimeoutError("no reply in time")


class ReplicatedConnection(MultiplexedConnection):
    """A connection whose replies are held back until enough replicas have what was written.

    What gathers goes out as one batch with one `WAIT` behind it, which covers all that this
    connection has written. The next batch is sent when that has been answered: the server would not
    read it any sooner.
    """

    def __init__(self, connection: AbstractConnection, reply_timeout: float, replicas: int) -> None:
        self._replicas = replicas
        self._wait = _packed(("WAIT", replicas, int(reply_timeout * _WAIT_SHARE * 1000)))
        self._held: list[tuple[asyncio.Future[Any], Any]] = []
        self._acknowledgement: asyncio.Future[None] | None = None
        super().__init__(connection, reply_timeout)

    async def _send(self) -> None:
        while True:
            await self._to_send.wait()
            self._to_send.clear()
            batch, self._outbox = self._outbox, []
            self._acknowledgement = self._loop.create_future()
            self._waiting.append((time.monotonic(), self._acknowledgement))
            await self._connection.send_packed_command([*batch, self._wait], check_health=False)
            await self._acknowledgement

    def _answer(self, reply: "asyncio.Future[Any]", answer: Any) -> None:
        if reply is self._acknowledgement:
            enough = isinstance(answer, int) and answer >= self._replicas
            for held, held_answer in self._held:
                _settle(held, held_answer if enough else RevocationUnconfirmed())
            self._held.clear()
            _settle(reply, None)
        elif isinstance(answer, exceptions.ResponseError):
            _settle(reply, answer)  # it was not carried out: there is nothing to wait for
        else:
            self._held.append((reply, answer))

    def _unanswered(self) -> list["asyncio.Future[Any]"]:
        held = [reply for reply, _ in self._held]
        self._held.clear()
        return held + super()._unanswered()


def _packed(command: tuple[Argument, ...]) -> bytes:
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub knows pairs
    return packed


def _settle(reply: "asyncio.Future[Any]", answer: Any) -> None:
    """Give a caller the answer, unless the request was cancelled meanwhile."""
    if reply.done():
        return
    if isinstance(answer, Exception):
        reply.set_exception(answer)
    else:
        reply.set_result(answer)
