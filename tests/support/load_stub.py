"""A server that answers like the service as far as scripts/load looks, and stalls when told to."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

_PAIR = {
    "accessToken": "a.b.c", "refreshToken": "osr_x", "tokenType": "Bearer", "expiresIn": 900,
    "sessionId": "0", "user": {},
}  # fmt: skip
_GOOD = {"/auth/signup": 201, "/auth/logout": 204}


class Stub:
    """Use it with `with`. `answers` are statuses of paths, where not those of success."""

    def __init__(self) -> None:
        self.answers: dict[str, int] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._lock = threading.Lock()
        self.seen = 0
        """Requests so far, sign-ups apart."""
        self._stall: tuple[int, float] | None = None
        self._stalled_until = 0.0
        self._breaks_after: int | None = None
        self._over = threading.Event()

    def stall_once(self, after: int, seconds: float) -> None:
        """Once so many were answered, sign-ups apart, nobody is answered for so long."""
        self._stall = after, seconds

    def break_after(self, count: int) -> None:
        """Once so many were answered, everybody gets 500."""
        self._breaks_after = count

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def status(self, path: str) -> int:
        """What to answer, once it is time to."""
        if path != "/auth/signup":
            with self._lock:
                self.seen += 1
                if self._stall and self.seen > self._stall[0]:
                    self._stalled_until = time.monotonic() + self._stall[1]
                    self._stall = None
                if self._breaks_after is not None and self.seen > self._breaks_after:
                    return 500
            self._over.wait(max(0.0, self._stalled_until - time.monotonic()))
        return self.answers.get(path, _GOOD.get(path, 200))


def _handler(stub: Stub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one piece

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status = stub.status(self.path)
            body = b"" if status == 204 else json.dumps(_body(status)).encode()
            self.send_response(status)
            if status == 503:
                self.send_header("Retry-After", "1")
            if body:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _body(status: int) -> object:
    code = {503: "service_unavailable", 500: "server_error"}.get(status)
    return {"error": {"code": code, "message": "no"}} if code else _PAIR
