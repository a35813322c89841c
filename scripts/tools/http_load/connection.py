"""HTTP/1.1 over kept connections, read no further than needed.

Requests are bytes made beforehand, so that a generator, which often shares the cores with what it
measures, costs a fraction of it.
"""

import asyncio
import re
import ssl
import time
from typing import cast

import msgspec

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

_IDLE = 60.0
"""Seconds: the service closes a connection that was idle for 75, and a proxy often after 60."""


class Endpoint(msgspec.Struct, frozen=True):
    """Where connections go. `server_name` is what TLS expects to find; None: no TLS."""

    address: str
    port: int
    server_name: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """A whole answer. `head` are status line and headers as they came."""

    status: int
    head: bytes
    body: bytes

    @property
    def asks_to_retry(self) -> bool:
        """503 with Retry-After: turned away for now."""
        return self.status == 503 and b"\r\nretry-after:" in self.head.lower()


class LostError(Exception):
    """No whole answer came; the message says how it ended, without anything of either message."""


class UnsentError(LostError):
    """There was no connection, so nothing was sent."""


class Connection(asyncio.Protocol):
    """An open connection, for one request at a time."""

    def __init__(self) -> None:
        self.is_open = True
        self._received = b""
        self._answer: asyncio.Future[Answer] | None = None

    @classmethod
    async def to(cls, endpoint: Endpoint, tls: ssl.SSLContext | None = None) -> "Connection":
        """Connect. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            cls, endpoint.address, endpoint.port, ssl=tls, server_hostname=endpoint.server_name
        )
        return connection

    def exchange(self, request: bytes) -> "asyncio.Future[Answer]":
        """Send this; the future has the answer, or `LostError`."""
        self._answer = asyncio.get_running_loop().create_future()
        if self.is_open:
            self._transport.write(request)
        else:
            self._answer.set_exception(LostError("the connection was closed"))
        return self._answer

    def close(self) -> None:
        """Hang up."""
        self.is_open = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Settle the answer once it is whole."""
        received = self._received = self._received + data
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(received, 0, end)
        if length is None and received[9:12] != b"204":
            self._settle(LostError("an answer without Content-Length"))
            return
        whole = end + 4 + (int(length[1]) if length else 0)
        if len(received) >= whole:
            self._received = b""
            head = received[: end + 2]
            if b"\r\nconnection: close" in head.lower():
                self.is_open = False
            self._settle(Answer(int(received[9:12]), head, received[end + 4 : whole]))

    def connection_lost(self, error: Exception | None) -> None:
        """Settle the answer as lost, if one is awaited."""
        self.is_open = False
        self._settle(LostError("the connection was closed before the answer"))

    def _settle(self, result: Answer | LostError) -> None:
        answer = self._answer
        if answer is None or answer.done():
            return
        if isinstance(result, Answer):
            answer.set_result(result)
        else:
            self.is_open = False
            answer.set_exception(result)


class ConnectionPool:
    """As many connections as there are requests under way, each kept for the next request."""

    def __init__(self, endpoint: Endpoint, patience: float) -> None:
        """`patience` is in seconds, for connecting and for an answer."""
        self._endpoint = endpoint
        self._patience = patience
        self._tls = ssl.create_default_context() if endpoint.server_name else None
        self._idle: list[tuple[float, Connection]] = []

    async def exchange(self, request: bytes) -> Answer:
        """Send this and wait for the answer.

        Raises:
            UnsentError: nothing was sent.
            LostError: none came. The request is not sent again: it may have had its effect.
        """
        connection: Connection | None = None
        try:
            async with asyncio.timeout(self._patience):
                connection = self._kept() or await Connection.to(self._endpoint, self._tls)
                answer = await connection.exchange(request)
        except TimeoutError:
            if connection is None:
                raise UnsentError("no connection in time") from None
            raise LostError("no answer in time") from None
        except OSError as error:
            raise UnsentError(f"no connection: {type(error).__name__}") from None
        else:
            if connection.is_open:
                self._idle.append((time.monotonic(), connection))
                connection = None
            return answer
        finally:
            if connection is not None:
                connection.close()

    def close(self) -> None:
        """Close those that are idle."""
        while self._idle:
            self._idle.pop()[1].close()

    def _kept(self) -> Connection | None:
        while self._idle:
            since, connection = self._idle.pop()
            if connection.is_open and time.monotonic() - since < _IDLE:
                return connection
            connection.close()
        return None
