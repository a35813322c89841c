"""The replies of one server, read where they arrive.

redis-py makes a connection (TLS, AUTH, database), and then waits for each reply through a stream, a
reader and a parser, with a coroutine each. A guard has nothing to do until all replies are there
that it waits for. So the transport gets another protocol, this one, which feeds hiredis and wakes
the guard once.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis
from redis import exceptions
from redis.asyncio.connection import AbstractConnection

_INCOMPLETE = object()
"""What the parser gives where a reply has not come in whole."""

_Asked = tuple["asyncio.Future[list[Any]]", int, float]
"""Who waits, for how many replies, and until when by the clock of the event loop."""


class Replies(asyncio.Protocol):
    """Sends to a server and takes its replies, while the connection lives."""

    def __init__(self, transport: asyncio.Transport, to_error: Callable[[str], Exception]) -> None:
        """Take over an open transport, over which no reply is missing.

        `to_error` makes an error of the text of an error reply.
        """
        self._loop = asyncio.get_running_loop()
        self._parser = hiredis.Reader(
            protocolError=exceptions.InvalidResponse,
            replyError=to_error,
            notEnoughData=_INCOMPLETE,
        )
        self._error: Exception | None = None
        self._found: list[Any] = []
        self._asked: deque[_Asked] = deque()
        self._on_push: Callable[[list[Any]], object] | None = None
        self._on_break: Callable[[Exception], object] | None = None
        self._held: bytes | None = None
        self._rest: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._transport = transport
        transport.set_protocol(self)

    @classmethod
    def of(cls, connection: AbstractConnection) -> "Replies | None":
        """Take over a connection that redis-py has made.

        None: this redis-py does not show what it takes. The app decides which one there is, and
        both names are redis-py's own.
        """
        writer = getattr(connection, "_writer", None)
        to_error = getattr(getattr(connection, "_parser", None), "parse_error", None)
        transport = getattr(writer, "transport", None)
        if transport is None or to_error is None:
            return None
        return cls(transport, to_error)

    def listen(
        self, on_push: Callable[[list[Any]], object], on_break: Callable[[Exception], object]
    ) -> None:
        """Take what the server says unasked, and hear of the end. Neither may raise."""
        self._on_push, self._on_break = on_push, on_break

    def exchange(
        self,
        sent: bytes,
        count: int,
        patience: float,
        rest: float = 0,
        waiting: "asyncio.Future[list[Any]] | None" = None,
    ) -> "asyncio.Future[list[Any]]":
        """Send commands; return their so many replies, errors among them, once all are there.

        Several may be under way, but none beside one with a rest. `patience`, and `rest`, after
        which they are sent: seconds. `waiting` is what to give the replies to, where there is one.

        Raises:
            one of BROKEN, but no ResponseError: what comes later belongs to nobody.
        """
        waiting = waiting or self._loop.create_future()
        if self._error is not None:
            if not waiting.done():
                waiting.set_exception(self._error)
            return waiting
        deadline = self._loop.time() + rest + patience
        self._asked.append((waiting, count, deadline))
        if self._timer is None or self._timer.when() > deadline:
            self._look_at_deadline()
        if rest > 0:
            self._held, self._rest = sent, self._loop.call_later(rest, self.send_now)
        else:
            self._transport.write(sent)
        return waiting

    @property
    def is_over(self) -> bool:
        """Whether nothing comes any more."""
        return self._error is not None

    def send_now(self) -> None:
        """Rest no longer, where something is to be sent after a rest."""
        held, self._held = self._held, None
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        if held is not None and self._error is None:
            self._transport.write(held)

    def end(self) -> None:
        """Wait for nothing any more."""
        self._break(exceptions.ConnectionError("the connection was closed"))

    def data_received(self, data: bytes) -> None:
        """Take what has come. Whoever waits for several replies is woken by the last."""
        if self._error is not None:
            return
        try:
            self._parser.feed(data)
            while (reply := self._parser.gets()) is not _INCOMPLETE:
                self._take(reply)
        except exceptions.RedisError as error:
            self._break(error)

    def eof_received(self) -> None:
        self._break(exceptions.ConnectionError("the server has closed the connection"))

    def connection_lost(self, error: Exception | None) -> None:
        broken = exceptions.ConnectionError("the connection has broken")
        broken.__cause__ = error
        self._break(broken)

    def _take(self, reply: Any) -> None:
        if type(reply) is hiredis.PushNotification and self._on_push is not None:
            self._on_push(reply)
            return
        if isinstance(reply, exceptions.ConnectionError):
            raise reply  # the server closes it, or serves nobody at the moment
        if not self._asked:
            raise exceptions.InvalidResponse("a reply that nobody waits for")
        self._found.append(reply)
        waiting, wanted, _ = self._asked[0]
        if len(self._found) == wanted:
            found, self._found = self._found, []
            self._asked.popleft()
            if not waiting.done():
                waiting.set_result(found)

    def _break(self, error: Exception) -> None:
        if self._error is not None:
            return
        self._error = error
        if self._timer is not None:
            self._timer.cancel()
        for waiting, _, _ in self._asked:
            if not waiting.done():
                waiting.set_exception(error)
        self._asked.clear()
        if self._on_break is not None:
            self._on_break(error)

    def _look_at_deadline(self) -> None:
        """Break where a reply is overdue, else look again. A timer for each would cost more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if not self._asked:
            return
        deadline = self._asked[0][2]
        if self._loop.time() >= deadline:
            self._break(exceptions.TimeoutError("no reply in time"))
        else:
            self._timer = self._loop.call_at(deadline, self._look_at_deadline)
