"""An issuer that publishes its keys over HTTP, and can be out of order."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from service.keyring.signing import SigningKeys


class Issuer:
    """Listens on a port of loopback, in a thread of its own, while it is open."""

    def __init__(self, keys: SigningKeys) -> None:
        self.body = keys.jwks()
        self.status = 200
        self.max_age = 600
        self.asked = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/.well-known/jwks.json"

    def publish(self, keys: SigningKeys) -> None:
        """Publish these keys from now on, and no others."""
        self.body = keys.jwks()

    def start(self) -> Self:
        """Listen; on the port of before, if there was one."""
        issuer = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                issuer.may_answer.wait(30)
                self.send_response(issuer.status)
                self.send_header("Content-Length", str(len(issuer.body)))
                self.send_header("Cache-Control", f"public, max-age={issuer.max_age}")
                self.end_headers()
                self.wfile.write(issuer.body)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Answer)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()
        return self

    def stop(self) -> None:
        """Refuse connections."""
        if self._server is not None:
            self.may_answer.set()
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
