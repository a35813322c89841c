"""One request and its answer on a connection: uvicorn's, but for how the answer is written."""

import functools
from collections.abc import Sequence
from typing import Any

from uvicorn.protocols.http.httptools_impl import HEADER_RE, STATUS_LINE, RequestResponseCycle

from service.web.headers import Header

_FORBIDDEN = bytes((*range(9), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F))
"""What no value of a header may hold; line ends are counted."""

_BODILESS = (204, 304)

_MOST_COPIED = 16 * 1024
"""Bytes of a body that is copied behind its head. All who do not read a larger one share it."""


class Cycle(RequestResponseCycle):
    """uvicorn's cycle, which writes an answer whole: one system call where there were two.

    The head waits for the body. An answer in pieces, or of a form that none of ours has, is left to
    uvicorn, and so are its errors.
    """

    _start: Any = None
    """The head, as long as it waits."""

    async def send(self, message: Any) -> None:
        """Take the head, or a piece of the body, of the answer."""
        if message["type"] == "http.response.start" and not self.response_started:
            self._start = message
            self.response_started = True
            self.waiting_for_100_continue = False
            body = message.get("body")
            if body is None:
                return
            message = {"type": "http.response.body", "body": body}
        start, self._start = self._start, None
        if start is not None:
            if self.flow.write_paused and not self.disconnected:
                await self.flow.drain()
            if self.disconnected:
                return
            if message["type"] == "http.response.body" and not message.get("more_body"):
                head = self._head(start["status"], start["headers"], message["body"])
                if head:
                    body = b"" if self.scope["method"] == "HEAD" else message["body"]
                    self._finish(head, body)
                    return
            self.response_started = False
            await super().send(start)
        await super().send(message)

    def _head(self, status: int, headers: Sequence[Header], body: bytes) -> bytes:
        """Spell the head; b"" if uvicorn is to do it."""
        length = None
        lines = [STATUS_LINE[status]]
        for name, value in (*self.default_headers, *headers):
            if name == b"content-length":
                length = value
            elif not _is_plain(name):
                return b""
            lines += name, b": ", value, b"\r\n"
        is_whole = (
            status in _BODILESS and not body if length is None else length == b"%d" % len(body)
        )
        if not is_whole:
            return b""
        lines.append(b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        head = b"".join(lines)
        ends = (len(lines) - 2) // 4 + (2 if self.keep_alive else 3)
        if head.count(b"\n") != ends or head.count(b"\r") != ends:
            return b""
        if len(head.translate(None, _FORBIDDEN)) < len(head):
            return b""
        return head

    def _finish(self, head: bytes, body: bytes) -> None:
        if len(body) > _MOST_COPIED:
            self.transport.write(head)
            self.transport.write(body)
        else:
            self.transport.write(head + body)
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


@functools.lru_cache(maxsize=256)
def _is_plain(name: bytes) -> bool:
    """Tell whether it is the name of a header that says nothing of the connection."""
    known = name in (b"connection", b"transfer-encoding")
    return name == name.lower() and not known and not HEADER_RE.search(name)
