"""HTTP/1.1 on a connection: one request after the other, each within its limits.

The parser is httptools', and what serves a request is uvicorn's. Here the stream is cut where a
message ends before the parser sees it, so that a request is begun only once the one before it is
answered: answers come in order, whatever follows, and no more is read ahead than one read.

    head ──▶ body (length or chunks) ──▶ whole ──▶ answered ──▶ head …
      └────────────┴── refused: 400, 408, 414, 431; what still comes is thrown away, then the end
"""

import httptools

from service.web.chunks import ChunkedBody, Malformed, TooManyChunks, TooManyTrailers
from service.web.connection import LingeringTransport
from service.web.headers import HEADERS
from service.web.limits import FIELDS_PARSED, LONGEST_HEAD, MOST_FIELDS
from service.web.parsing import ParsingConnection

STOPPING = "stopping"
"""The name in the state of a request's scope that is there once the process is to stop."""

_END_OF_HEAD = b"\r\n\r\n"

_MOST_LINES = FIELDS_PARSED + 2
"""Of a head: the one of the request, one for each field, and the empty one."""

_TURN = 2048
"""Bytes of a chunked body that are read in one turn of the event loop. Thousands of chunks have
room in one read, and would keep everybody waiting for ten milliseconds."""


class Protocol(ParsingConnection):
    """uvicorn's protocol on httptools with our own order, limits, deadlines and errors."""

    _room = LONGEST_HEAD  # bytes left for head and trailers
    _lines = 0  # of the head that have come
    _tail = b""  # the last bytes of a head that is not complete: the beginning of its end, maybe
    _left = 0  # bytes of a body of known length that are to come
    _chunks: ChunkedBody | None = None

    def data_received(self, data: bytes) -> None:
        if self._held:
            self._hold(self._held + data)
        elif not self._refused:
            self._take(data)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._go_on()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self._answered += 1
        self._quiet = self._whole = 0.0
        self._go_on()

    def _go_on(self) -> None:
        """Take what was held back, now that it is its turn."""
        if self._is_answering() or self.flow.write_paused or self.transport.is_closing():
            return
        held, self._held = self._held, b""
        self.flow.release()
        if held:
            self._take(held)
        if self._at_end and not self._is_answering():
            self.transport.close()

    def _take(self, data: bytes) -> None:
        while data and not self._refused:
            if self._in_body:
                turn = len(data) if self._chunks is None else _TURN
                data = self._take_body(data[:turn]) + data[turn:]
                if data and self._chunks is not None and not self._refused:
                    self._hold(data)
                    self.loop.call_soon(self._take_turn)
                    break
            elif self._is_answering() or self.flow.write_paused:
                self._hold(data)
                return
            elif self.transport.is_closing():
                return
            else:
                data = self._take_head(data)
        if self._in_body and self.cycle is not None and self.cycle.transport is self.transport:
            self.cycle.transport = LingeringTransport(self)  # type: ignore[assignment]  # all it needs

    def _take_turn(self) -> None:
        """Go on with a body of which there is more than is read in one turn."""
        if self._in_body and self._held and not self.transport.is_closing():
            held, self._held = self._held, b""
            self._take(held)
            if not self._held:
                self.flow.release()

    def _hold(self, data: bytes) -> None:
        self._held = data
        self.flow.hold()

    def _take_head(self, data: bytes) -> bytes:
        """Take what belongs to the head and return the rest."""
        if not self._parsing:  # a robust server skips empty lines (RFC 9112, section 2.2)
            self._room -= len(data) - len(data := data.lstrip(b"\r\n"))
        if not data and self._room >= 0:
            return b""
        if not self._begun:
            self._begun = True
            self._quiet = 0.0
        seen = len(self._tail)
        window = self._tail + data if seen else data
        end = window.find(_END_OF_HEAD)
        rest = b""
        if end < 0:
            self._tail = window[-3:]
        else:
            end += len(_END_OF_HEAD) - seen
            if end < len(data):
                data, rest = data[:end], data[end:]
        self._room -= len(data)
        self._lines += data.count(b"\n")
        if self._room < 0 or self._lines > _MOST_LINES:
            self._refuse(414 if self._has_long_query(data) else 431)
        elif self._parse(data):
            if (end >= 0) is not self._head_done:  # two readings of one head
                self._refuse(400)
            elif end >= 0:
                self._begin_message()
        return rest

    def _begin_message(self) -> None:
        self._tail = b""
        self._lines = 0
        assert self.cycle is not None  # noqa: S101  made by `on_headers_complete`
        if not self._complete:
            self._in_body = True
            self._whole = 0.0
            if not self._find_length():
                self._refuse(400)
                return
        if STOPPING in self.app_state:
            self.cycle.keep_alive = False
        self._start_asgi_task(self.cycle, self.app)
        if self._complete:
            self._end_message()

    def _find_length(self) -> bool:
        """Find how the body is delimited. False where it is by something that is not understood."""
        fields = self.scope["state"][HEADERS]
        coding = fields.get(b"transfer-encoding")
        if coding is not None:
            self._chunks = ChunkedBody(self._room, MOST_FIELDS - len(self.headers))
            return coding.lower() == b"chunked" and self.scope["http_version"] == "1.1"
        length = fields.get(b"content-length")
        if length is None:
            return False
        self._left = int(length)
        return True

    def _take_body(self, data: bytes) -> bytes:
        """Take what belongs to the body and return the rest."""
        chunks = self._chunks
        try:
            end = self._end_of_message(data)
        except Malformed:
            self._refuse(400)
            return b""
        except TooManyChunks:
            self._refuse(413)
            return b""
        except TooManyTrailers:
            self._refuse(431)
            return b""
        piece = data if end is None else data[:end]
        if chunks is not None and chunks.trailers:  # the parser would take them for headers
            piece = piece[: -chunks.trailers] + (b"" if end is None else b"\r\n")
        if not self._parse(piece):
            return b""
        if self._complete is (end is None):  # two readings of one body
            self._refuse(400)
            return b""
        if self._is_answering():  # what is sent after the answer gains no time
            self._quiet = 0.0
        if end is None:
            return b""
        self._end_message()
        return data[end:]

    def _end_of_message(self, data: bytes) -> int | None:
        if self._chunks is not None:
            return self._chunks.end(data)
        end = self._left if self._left <= len(data) else None
        self._left -= len(data)
        return end

    def _end_message(self) -> None:
        self._begun = self._parsing = self._head_done = self._in_body = self._complete = False
        self._room = LONGEST_HEAD
        if self._stand_in:
            self._stand_in = False
            self.parser = httptools.HttpRequestParser(self)
        self._chunks = None
        assert self.cycle is not None  # noqa: S101  a message has one
        if self.cycle.response_complete:
            self._quiet = 0.0
        else:
            self.cycle.transport = self.transport
            self.cycle.more_body = False
            self.cycle.message_event.set()
