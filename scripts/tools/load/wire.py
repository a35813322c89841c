"""HTTP/1.1 over kept connections, read no further than needed.

Locust's own clients cost the generator three to ten times as much CPU for a request, and here it
shares the cores with what it measures. Sockets are gevent's: importing locust replaces Python's.
"""

import re
import socket
import ssl
import time

import msgspec

from tools.load.target import Target

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STALE = 60.0
"""Seconds: the service closes a connection that was idle for 75, and a proxy often after 60."""


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


class Connections:
    """As many connections as there are requests under way, each kept for the next request."""

    def __init__(self, target: Target, patience: float) -> None:
        """`patience` is in seconds, for connecting and for each part of an answer."""
        self._target = target
        self._patience = patience
        self._tls = ssl.create_default_context() if target.tls else None
        self._idle: list[tuple[float, socket.socket]] = []

    def exchange(self, request: bytes) -> Answer:
        """Send this and wait for the answer.

        Raises:
            LostError: none came. The request is not sent again: it may have had its effect.
        """
        try:
            connection = self._take()
        except OSError as error:
            raise LostError(f"no connection: {_named(error)}") from None
        try:
            connection.sendall(request)
            answer = _read(connection)
        except (OSError, LostError) as error:
            connection.close()
            raise LostError(str(error) if isinstance(error, LostError) else _named(error)) from None
        if b"\r\nconnection: close" in answer.head.lower():
            connection.close()
        else:
            self._idle.append((time.monotonic(), connection))
        return answer

    def close(self) -> None:
        """Close those that are idle."""
        while self._idle:
            self._idle.pop()[1].close()

    def _take(self) -> socket.socket:
        while self._idle:
            since, connection = self._idle.pop()
            if time.monotonic() - since < _STALE:
                return connection
            connection.close()
        address = (self._target.address, self._target.port)
        connection = socket.create_connection(address, timeout=self._patience)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is None:
            return connection
        return self._tls.wrap_socket(connection, server_hostname=self._target.name)


def _read(connection: socket.socket) -> Answer:
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0:
        received += _more(connection)
    length = _LENGTH.search(received, 0, end)
    if length is None and received[9:12] != b"204":
        raise LostError("an answer without Content-Length")
    whole = end + 4 + (int(length[1]) if length else 0)
    while len(received) < whole:
        received += _more(connection)
    return Answer(int(received[9:12]), received[: end + 2], received[end + 4 : whole])


def _more(connection: socket.socket) -> bytes:
    received = connection.recv(65_536)
    if not received:
        raise LostError("the connection was closed before the answer")
    return received


def _named(error: OSError) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
