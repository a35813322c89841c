"""What is wrong already as HTTP, before there is a request: refused in the same shape."""

from math import inf

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.web.errors import FRAMEWORK, as_json
from service.web.outermost import mint_request_id

STOPPING = "stopping"
"""The name in the state of a request's scope that is there once the process is to stop."""

_LONGEST_HEAD = 65_536  # bytes of request line and headers; uvicorn itself has no limit


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol on httptools, with our error body and a limit to the head of a request."""

    _head: float = 0  # bytes of a head that is not complete; -inf while a body comes in

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = 0

    def on_headers_complete(self) -> None:
        self._head = -inf
        super().on_headers_complete()
        if STOPPING in self.app_state:
            self.leave_after_answer()

    def leave_after_answer(self) -> None:
        """Let the answer that is under way, if any, be the connection's last, and say so."""
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._head += len(data)
        if self._head > _LONGEST_HEAD and not self.transport.is_closing():
            self.send_400_response("")

    def send_400_response(self, msg: str) -> None:
        """Answer 400 and hang up. `msg` is uvicorn's own text."""
        body = as_json(FRAMEWORK[400])
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\nx-request-id: %s\r\nconnection: close\r\n\r\n%s"
            % (len(body), mint_request_id().encode(), body)
        )
        self.transport.close()
