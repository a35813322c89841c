"""HTTP as it is on the wire, for what no well-behaved client would send."""

import socket
from urllib.parse import urlsplit

import httpx
import msgspec
from tools.testbed.waiting import PATIENCE

from service.web.answers import ErrorBody

ROUTES = {
    "POST /auth/signup": "body",
    "POST /auth/login": "body",
    "POST /auth/login/2fa": "body",
    "POST /auth/2fa/enable": "bearer",
    "POST /auth/2fa/verify": "bearer body",
    "POST /auth/2fa/disable": "bearer body",
    "POST /auth/2fa/recovery-codes": "bearer body",
    "POST /auth/password/reset": "body",
    "POST /auth/email/verify": "body",
    "POST /auth/email/change/confirm": "body",
    "POST /auth/email/change/undo": "body",
    "POST /auth/refresh": "body",
    "POST /auth/reauthenticate": "bearer body",
    "POST /auth/password/change": "bearer body",
    "POST /auth/account/delete": "bearer",
    "GET /auth/account/export": "bearer",
    "GET /auth/me": "bearer",
    "POST /auth/logout": "bearer body",
    "POST /auth/logout/all": "bearer body",
    "GET /auth/sessions": "bearer",
    "DELETE /auth/sessions/0123456789abcdef01234567": "bearer",
    "GET /auth/oauth": "",
    "POST /auth/oauth/one/start": "body",
    "GET /auth/oauth/one/callback": "",
    "POST /auth/oauth/one/callback": "",
    "POST /auth/oauth/complete": "body",
    "GET /auth/oauth/links": "bearer",
    "POST /auth/oauth/one/link": "bearer body",
    "DELETE /auth/oauth/one/link": "bearer",
    "POST /auth/oauth/one/backchannel-logout": "",
    "GET /.well-known/jwks.json": "",
    "GET /.well-known/oauth-authorization-server": "",
    "GET /health/live": "",
    "GET /health/ready": "",
    "GET /metrics": "",
    "GET /schema": "",
    "GET /schema/openapi.json": "",
}
"""Every call, and what it takes."""

MAILING = (
    "POST /auth/password/reset/request",
    "POST /auth/email/verify/request",
    "POST /auth/email/change",
)
"""Those that are there only where mail is on (tests/mail)."""


class Wire:
    """A server, asked over plain sockets; each request on a connection of its own."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.address = (parts.hostname, parts.port)
        self.pids: tuple[int, ...] = ()
        """Of the server, where a test asks how long it had no core."""

    def open(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=PATIENCE)

    def send(self, request: bytes) -> bytes:
        """All that comes back until the server hangs up."""
        with self.open() as connection:
            connection.sendall(request)
            received = b""
            while more := connection.recv(65_536):
                received += more
        return received

    def ask(self, line: str, *headers: str, body: bytes = b"") -> httpx.Response:
        """The answer to a request line with these headers, `Host` and `Connection: close`."""
        head = "\r\n".join([f"{line} HTTP/1.1", "Host: test", "Connection: close", *headers])
        return parse(self.send(head.encode("latin-1") + b"\r\n\r\n" + body))


def parse(received: bytes) -> httpx.Response:
    """A whole answer."""
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    return httpx.Response(int(status.split()[1]), headers=headers, content=body)


def error_of(answer: httpx.Response) -> str:
    """The code of an error, which must have the one shape."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    body = msgspec.json.decode(answer.content)
    error = msgspec.convert(body, ErrorBody).error
    assert set(body) == {"error"}
    assert set(body["error"]) <= {"code", "message", "details"}
    assert error.message.endswith((".", ";", ">."))
    return error.code
