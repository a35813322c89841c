"""An app in the browser: an empty page with the client, served on a port of its own."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from tools.testbed.redis_server import REPOSITORY

CLIENT = (REPOSITORY / "service/web/pages/client/client.js").read_bytes()


PAGES: dict[str, bytes] = {}
"""What is served instead of the empty page, by path."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        is_client = self.path == "/client.js"
        empty = b"<!doctype html><title>App</title>"
        body = CLIENT if is_client else PAGES.get(self.path, empty)
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript" if is_client else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


class AppPages:
    """The same pages by three origins. To the service at 127.0.0.1, one is of the same site."""

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        port = self._server.server_address[1]
        self.same_site = f"http://127.0.0.1:{port}"
        self.other_site = f"http://localhost:{port}"
        self.foreign = f"http://app.localhost:{port}"  # which browsers take for this machine
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
