"""One connection to a Redis server, shared by all requests of a process.

Commands of concurrent requests go out in one write, and replies come back in the order of the
commands; so a call costs a future instead of a connection, an eighth of the CPU of a pool. A
request that is cancelled leaves its future behind; the reply finds it done, is dropped, and never
reaches another request.

redis-py makes the connection (TLS, AUTH, database). Then its transport gets another protocol, this
one: replies are parsed by hiredis as they come, and handed on in the same turn of the event loop,
where redis-py's streams need two turns, and four calls of coroutines for each reply.

What redis-py does not do here, either: repeat. By default it sends each command up to ten times,
scripts included; a repeated logout would answer that there is no session, a repeated rotation would
look like theft.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
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
_INCOMPLETE = object()
"""What the parser gives where a reply has not come in whole."""

_WAIT_SHARE = 0.4
"""The share of the time for a reply in which the server waits for replicas. A batch may have to
wait for the one before it to be given up, and must then still be answered in time."""


class MultiplexedConnection(asyncio.Protocol):
    """A connection while it lives: what is to be sent, and who waits for what, in order."""

    def __init__(self, connection: AbstractConnection, reply_timeout: float) -> None:
        """Take over an open `connection`, of which no reply is missing.

        `reply_timeout` is in seconds.
        """
        self.broken = False
        self.on_broken: Callable[[], None] | None = None
        self._connection = connection
        self._reply_timeout = reply_timeout
        self._outbox: list[bytes] = []
        self._is_held = False  # the transport, or what stands for it, takes no more at the moment
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._loop = asyncio.get_running_loop()
        # Of redis-py's own, which offers neither: an error's kind by its code, and the transport.
        to_error: Any = connection._parser.parse_error
        self._replies = hiredis.Reader(
            protocolError=exceptions.InvalidResponse,
            replyError=to_error,
            notEnoughData=_INCOMPLETE,
        )
        writer = connection._writer
        if writer is None or writer.is_closing():
            raise exceptions.ConnectionError("the connection has broken")
        self._transport = writer.transport
        self._transport.set_protocol(self)
        self._tasks = {self._loop.create_task(self._watch())}

    def ask(self, command: tuple[Argument, ...]) -> "asyncio.Future[Any]":
        """Send a command once. Return its reply, or raise a `redis.exceptions.RedisError`.

        Commands of one turn of the event loop follow each other without another between them.
        """
        if self.broken:  # between connecting and now
            raise exceptions.ConnectionError("the connection has broken")
        if len(self._waiting) >= _MOST_WAITING:
            raise exceptions.ConnectionError("too many commands wait for a reply")
        reply: asyncio.Future[Any] = self._loop.create_future()
        if not self._outbox:
            self._loop.call_soon(self._send)
        self._outbox.append(_packed(command))
        self._waiting.append((time.monotonic(), reply))
        return reply

    async def fail(self, error: Exception) -> None:
        """Give up on the connection: nobody's reply may be taken for another's."""
        if self._break(error):
            await self._disconnect()

    def data_received(self, data: bytes) -> None:
        """Hand each reply to whoever has waited longest."""
        try:
            self._take(data)
        except exceptions.RedisError as error:
            self._fail_soon(error)
        except Exception as error:  # whatever it was, nobody may wait for what does not come
            log.error("redis.connection", exc_info=error)
            self._fail_soon(exceptions.ConnectionError("the connection was given up"))

    def eof_received(self) -> None:
        self._fail_soon(exceptions.ConnectionError("the server has closed the connection"))

    def connection_lost(self, error: Exception | None) -> None:
        broken = exceptions.ConnectionError("the connection has broken")
        broken.__cause__ = error
        self._fail_soon(broken)

    def pause_writing(self) -> None:
        self._is_held = True

    def resume_writing(self) -> None:
        self._is_held = False
        self._send()

    def _send(self) -> None:
        """Write what has gathered while the loop served other requests, at once."""
        if self._outbox and not self._is_held and not self.broken:
            batch, self._outbox = self._outbox, []
            self._transport.write(b"".join(batch))

    def _take(self, data: bytes) -> None:
        self._replies.feed(data)
        now = time.monotonic()
        while not self.broken and (answer := self._replies.gets()) is not _INCOMPLETE:
            if isinstance(answer, exceptions.ConnectionError):
                raise answer  # the server closes it, or serves nobody at the moment
            if not self._waiting:
                raise exceptions.InvalidResponse("a reply that nobody waits for")
            asked_at, reply = self._waiting.popleft()
            REPLY_TIMES.add(now - asked_at)
            self._answer(reply, answer)

    def _answer(self, reply: "asyncio.Future[Any]", answer: Any) -> None:
        _settle(reply, answer)

    def _break(self, error: Exception) -> bool:
        """Tell all who wait, the first time that something has broken; return whether it is."""
        if self.broken:
            return False
        self.broken = True
        if self.on_broken is not None:
            self.on_broken()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        for reply in self._unanswered():
            _settle(reply, error)
        self._waiting.clear()
        self._outbox.clear()
        return True

    def _fail_soon(self, error: Exception) -> None:
        if self._break(error):
            self._tasks.add(self._loop.create_task(self._disconnect()))

    async def _disconnect(self) -> None:
        await self._connection.disconnect(nowait=True)

    def _unanswered(self) -> list["asyncio.Future[Any]"]:
        return [reply for _, reply in self._waiting]

    async def _watch(self) -> None:
        """Break off once a reply is overdue: a server that hangs must not hang its clients."""
        while True:
            await asyncio.sleep(self._reply_timeout / 5)
            if self._waiting and time.monotonic() - self._waiting[0][0] > self._reply_timeout:
                await self.fail(exceptions.TimeoutError("no reply in time"))
                return


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

    def _send(self) -> None:
        if not self._outbox or self._is_held or self.broken or self._acknowledgement is not None:
            return
        batch, self._outbox = self._outbox, []
        self._acknowledgement = self._loop.create_future()
        self._waiting.append((time.monotonic(), self._acknowledgement))
        self._transport.write(b"".join((*batch, self._wait)))

    def _answer(self, reply: "asyncio.Future[Any]", answer: Any) -> None:
        if reply is self._acknowledgement:
            enough = isinstance(answer, int) and answer >= self._replicas
            for held, held_answer in self._held:
                _settle(held, held_answer if enough else RevocationUnconfirmed())
            self._held.clear()
            self._acknowledgement = None
            self._loop.call_soon(self._send)
        elif isinstance(answer, exceptions.ResponseError):
            _settle(reply, answer)  # it was not carried out: there is nothing to wait for
        else:
            self._held.append((reply, answer))

    def _unanswered(self) -> list["asyncio.Future[Any]"]:
        held = [reply for reply, _ in self._held]
        self._held.clear()
        if self._acknowledgement is not None:
            self._acknowledgement.cancel()  # nobody asks how it ended
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
