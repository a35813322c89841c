"""A connection to a client: its deadlines, its refusals, its end."""

import asyncio
import itertools
from http import HTTPStatus

import msgspec
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.web.answers import FRAMEWORK
from service.web.cors import CORS, Cors
from service.web.deadlines import Deadlines
from service.web.errors import shaped
from service.web.exchange import mint_request_id
from service.web.headers import NOSNIFF

_NEW = 1.0  # seconds in which whoever has connected may still be about to send its request
_numbers = itertools.count()


class Connection(HttpToolsProtocol):
    """The part of `Protocol` that reads no messages: deadlines, refusals, ends."""

    flow: "Flow"
    cycle: RequestResponseCycle | None  # type: ignore[assignment]  # None before the first request

    _begun = False  # a byte of the next head has come
    _in_body = False  # the head is done and the message is not
    _held = b""  # what came after the request that is being answered
    _refused = False  # what still comes is thrown away
    _at_end = False  # the client sends no more
    _answered = 0  # requests
    _quiet = 0.0  # seconds, as `pass_time` counts, since the client did what it is waited for
    _whole = 0.0  # seconds that this body, or the taking of this answer, has had, progress or not
    _unsent = 0  # bytes that the client had not taken when it was last looked at

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self._number = next(_numbers)
        self.flow = Flow(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.cycle is not None:  # else each keeps the other until somebody looks for cycles
            self.cycle.transport = self.transport

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's own signature
        """Keep the connection open while a whole request waits for its answer."""
        self._at_end = True
        return self._is_answering() and not self._in_body and not self._refused

    def leave_after_answer(self) -> None:
        """Let the answer that is under way, if any, be the connection's last, and say so."""
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        if self._refused:
            self.transport.abort()
        else:
            super().shutdown()

    def pass_time(self, seconds: float, deadlines: Deadlines) -> None:
        """Count `seconds` in which nothing may have happened, and end what has taken too long.

        A clock that is read now and then costs a request less than timers of its own.
        """
        waits = self._waits_for_client()
        self._quiet = self._quiet + seconds if waits else 0.0
        if self._unsent:
            self._whole += seconds
            if self._quiet >= deadlines.answer or self._whole >= deadlines.whole_answer:
                self.transport.abort()
        elif not waits:
            return
        elif self._refused:
            if self._quiet >= deadlines.linger:
                self.transport.abort()
        elif self._in_body:
            self._whole += seconds
            if self._quiet >= deadlines.body or self._whole >= deadlines.whole_body:
                self._refuse(408)
        elif self._begun:
            if self._quiet >= deadlines.head:
                self._refuse(408)
        elif self._answered:
            if self._quiet >= deadlines.idle:
                self.transport.close()
        elif self._quiet >= deadlines.first_byte:
            self._refuse(408)

    def _waits_for_client(self) -> bool:
        """Tell whether it is the client's turn, and it has done nothing since the last look."""
        unsent = self.transport.get_write_buffer_size()
        progress, self._unsent = unsent != self._unsent, unsent
        if unsent or progress:
            return not progress
        if self._refused:
            return True
        if self._in_body:  # unless the app has not taken what came so far
            return not self.flow.read_paused
        return not self._is_answering()

    def standing(self) -> tuple[bool, bool, float, int] | None:
        """Return a key by which the connection to end first, where there is no room, is the least.

        Those that were not waited for yet go last. Of the others, those that never had an answer go
        first. Then it is who was waited for longest, and who came first. `None` while the service
        works for it.
        """
        if self._is_answering() and not self._in_body and not self._unsent:
            return None
        is_new = self._quiet < _NEW
        return is_new, not is_new and bool(self._answered), -self._quiet, self._number

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: int) -> None:
        """Answer what is under way with an HTTP error, if it has no answer yet, and then close."""
        if self._refused or self.transport.is_closing():
            return
        self._held = b""
        cycle, path = self.cycle, ""
        if self._in_body and cycle is not None:
            path = self.scope["path"]
            if cycle.response_started:
                self.transport.close()
                return
            cycle.disconnected = True
            cycle.message_event.set()
        cors: Cors | None = self.app_state.get(CORS)
        more = cors.refusal(self.headers or ()) if cors else b""
        self.transport.write(_refusal(status, path, more))
        self.close_late()

    def close_late(self) -> None:
        """End the connection, but let the client send on: else it might not read the answer.

        A closed socket answers what comes by a reset, which overtakes what was sent
        (RFC 9112, section 9.6).
        """
        if self.transport.is_closing():
            return
        if self._at_end:
            self.transport.close()
            return
        self._refused = True
        self._quiet = 0.0
        self.flow.release()
        self.flow.resume_reading()
        self.transport.write_eof()


class Flow(FlowControl):
    """uvicorn's flow control, under which nobody reads on while something is held back."""

    _holds = False

    def hold(self) -> None:
        """Read no more until `release`."""
        self._holds = True
        self.pause_reading()

    def release(self) -> None:
        """Read on after `hold`."""
        self._holds = False
        if self.read_paused:
            self.resume_reading()

    def resume_reading(self) -> None:
        if not self._holds:
            super().resume_reading()


class LingeringTransport:
    """The transport of an answer to a request that has not come in whole: it is closed late."""

    def __init__(self, connection: Connection) -> None:
        self.write = connection.transport.write
        self.is_closing = connection.transport.is_closing
        self.close = connection.close_late


def _refusal(status: int, path: str, more: bytes) -> bytes:
    """Spell an error in the shape that errors have at this path; empty: it is not known yet."""
    answer = FRAMEWORK[status]
    status, told = shaped(answer, path, answer.message or "")
    body = msgspec.json.encode(told)
    return (
        b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
        b"x-request-id: %s\r\n%s: %s\r\n%sconnection: close\r\n\r\n%s"
    ) % (
        status,
        HTTPStatus(status).phrase.encode(),
        len(body),
        mint_request_id().encode(),
        *NOSNIFF,
        more,
        body,
    )
