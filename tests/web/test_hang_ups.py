"""Clients that go away at any point of a request or an answer: no traceback, no defect, no harm."""

import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PATIENT, ServiceProcess
from tools.testbed.waiting import wait_until

JSON = b'{"email":"ann@example.org","password":"correct horse battery"}'


def post(path: bytes, body: bytes, *headers: bytes) -> bytes:
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join([b"POST " + path + b" HTTP/1.1", b"Host: x", length, *headers, b"", body])


CALLS = {
    "signup": post(b"/auth/signup", JSON),
    "expecting": post(b"/auth/login", JSON, b"Expect: 100-continue"),
    "chunked": b"POST /auth/refresh HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'14\r\n{"refreshToken":"x"}\r\n0\r\n\r\n',
    "large answers": b"GET /schema/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 20,
    "logout": post(b"/auth/logout", b'{"refreshToken":"x"}', b"Authorization: Bearer x"),
    "nowhere": post(b"/nowhere", b"x" * 2000),
}


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def half_close(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_WR)
    connection.settimeout(0.02)
    with suppress(OSError):
        connection.recv(100)
    reset(connection)


ENDS: tuple[Callable[[socket.socket], None], ...] = (reset, socket.socket.close, half_close)


def test_who_hangs_up_leaves_no_traceback(keys: RedisServer, tmp_path: Path) -> None:
    """Wherever the request is cut and whatever the service is at when it notices."""
    service = ServiceProcess(tmp_path, keys.url, **PATIENT).start()
    address = ("127.0.0.1", httpx.URL(service.url).port)
    cuts = 0
    for call in CALLS.values():
        for cut in (5, 40, len(call) // 2, len(call) - 10, len(call) - 1, len(call)):
            for end in ENDS:
                connection = socket.create_connection(address)
                connection.sendall(call[:cut])
                time.sleep(0.002 * (cuts % 4))  # the fault itself: it is noticed earlier or later
                end(connection)
                cuts += 1
    assert cuts == len(CALLS) * 18
    wait_until(lambda: httpx.get(f"{service.url}/health/ready").status_code == 200)
    assert service.stop() == 0
    output = service.output()
    assert "Traceback" not in output
    assert '"level":"error"' not in output
    assert '"status":500' not in output
