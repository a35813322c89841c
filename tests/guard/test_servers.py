"""The middleware under real ASGI servers: what each makes of a request, the guard stands.

Daphne speaks no lifespan, uvicorn with httptools puts trailers among the headers, and each decodes
paths in its own way.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tools.testbed.issuer import Issuer
from tools.testbed.parts import Parts
from tools.testbed.redis_server import REPOSITORY, RedisServer, free_port
from tools.testbed.waiting import eventually, wait_until

from tests.guard.guards import log_out
from tests.support.looking import ON_VALKEY

pytestmark = ON_VALKEY

APP = "tests.guard.served:app"
ANN, BOB = b"\1" * 16, b"\2" * 16

SERVERS = {
    "uvicorn, httptools": ["uvicorn", "--http", "httptools", "--port", "{port}", APP],
    "uvicorn, h11": ["uvicorn", "--http", "h11", "--port", "{port}", APP],
    "uvicorn, no lifespan": ["uvicorn", "--lifespan", "off", "--port", "{port}", APP],
    "hypercorn": ["hypercorn", "--bind", "127.0.0.1:{port}", APP],
    "granian": ["granian", "--interface", "asgi", "--port", "{port}", APP],
    "daphne": ["daphne", "-b", "127.0.0.1", "-p", "{port}", APP],
}
WITHOUT_LIFESPAN = ("uvicorn, no lifespan", "daphne")
TRAILERS_ARE_HEADERS = ("uvicorn, httptools", "uvicorn, no lifespan")
WITH_WEBSOCKETS = ("hypercorn", "granian", "daphne")


class Pod:
    """A server with the app, as a process of its own."""

    def __init__(self, name: str, log: Path, issuer: Issuer, redis: RedisServer) -> None:
        self.name = name
        self._log = log
        self._port = free_port()
        command = [part.format(port=self._port) for part in SERVERS[name]]
        environment = {"GUARD_JWKS_URL": issuer.url, "GUARD_REDIS_URL": redis.url.reveal()}
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=REPOSITORY,
                env=os.environ | environment | {"PYTHONPATH": str(REPOSITORY)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._listens, seconds=40)

    @property
    def output(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def ask(self, head: str, body: bytes = b"") -> tuple[int, str]:
        """Send a request byte by byte as it stands. The status, and whom the app saw."""
        with socket.create_connection(("127.0.0.1", self._port), timeout=20) as line:
            more = "\nHost: pod" + ("" if "Connection:" in head else "\nConnection: close") + "\n\n"
            request = (head + more).replace("\n", "\r\n")
            line.sendall(request.encode("latin-1") + body)
            answer = b""
            try:
                while part := line.recv(65_536):
                    answer += part
                    if "Upgrade:" in head and b"\r\n\r\n" in answer:
                        break  # whatever it is, the connection may stay open
            except ConnectionResetError:
                pass
        self.answer = answer
        if not answer:
            return 0, ""
        top, _, rest = answer.partition(b"\r\n\r\n")
        status = int(top.split()[1])
        return status, str(json.loads(rest)["user"]) if status == 200 and rest else ""

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def _listens(self) -> bool:
        assert self.process.poll() is None, self.output
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0


@pytest.fixture(params=SERVERS)
async def pod(
    request: pytest.FixtureRequest,
    parts: Parts,
    keys: RedisServer,
    issuer: Issuer,
    tmp_path: Path,
) -> AsyncIterator[Pod]:
    pod = Pod(request.param, tmp_path / "pod.log", issuer, keys)
    yield pod
    pod.stop()


def bearer(token: str) -> str:
    return f"\nAuthorization: Bearer {token}"


async def test_a_request_and_a_logout(pod: Pod, parts: Parts) -> None:
    """The first request passes, also where the server tells of no start; its end is seen."""
    ann, bob = await parts.open(ANN), await parts.open(BOB)
    assert pod.ask("GET /health HTTP/1.1") == (200, "None")
    assert pod.ask("GET /orders HTTP/1.1")[0] == 401
    assert pod.ask("GET /orders HTTP/1.1" + bearer("junk"))[0] == 401
    assert ("speaks no lifespan" in pod.output) is False
    assert pod.ask("GET /orders HTTP/1.1" + bearer(ann.access_token)) == (200, ANN.hex())
    assert ("speaks no lifespan" in pod.output) == (pod.name in WITHOUT_LIFESPAN)
    assert "feed is lost" not in pod.output
    await log_out(parts, ann)

    async def refused() -> bool:
        return pod.ask("GET /orders HTTP/1.1" + bearer(ann.access_token))[0] == 401

    await eventually(refused)
    assert pod.ask("GET /orders HTTP/1.1" + bearer(bob.access_token)) == (200, BOB.hex())
    pod.stop()
    for trouble in ("Traceback", "was destroyed", "never retrieved", "never awaited"):
        assert trouble not in pod.output


async def test_what_it_is_sent(pod: Pod, parts: Parts) -> None:
    """Credentials, trailers, paths and upgrades, of one server after the other: starting one takes
    longer than all of them."""
    await one_credential(pod, parts)
    await a_trailer_as_a_credential(pod, parts)
    if pod.name in WITH_WEBSOCKETS:
        await websockets(pod, parts)
    odd_paths_open_nothing(pod)


async def one_credential(pod: Pod, parts: Parts) -> None:
    """Two headers are none, in any case and order; nor does a trailer change who calls."""
    ann, bob = await parts.open(ANN), await parts.open(BOB)
    mine, theirs = bearer(ann.access_token), bearer(bob.access_token)
    for second in (theirs, mine, "\nauthorization: Basic x", "\nAUTHORIZATION:", theirs.upper()):
        for head in (mine + second, second + mine):
            assert pod.ask("GET /orders HTTP/1.1" + head)[0] in (400, 401)
    chunked = "POST /orders HTTP/1.1\nTransfer-Encoding: chunked\nTrailer: Authorization"
    for trailer in (theirs, "\nAuthorization: Basic x", "\nX-Request-Id: mallory"):
        body = b"1\r\nx\r\n0\r\n" + trailer.strip().encode() + b"\r\n\r\n"
        status, user = pod.ask(chunked + mine, body)
        assert status in (200, 400, 401)
        assert user in ("", ANN.hex()), "a trailer decides who calls"


async def a_trailer_as_a_credential(pod: Pod, parts: Parts) -> None:
    """Where the head has none, only uvicorn with httptools takes it from a trailer (guard.md)."""
    ann = await parts.open(ANN)
    chunked = "POST /orders HTTP/1.1\nTransfer-Encoding: chunked\nTrailer: Authorization"
    body = b"1\r\nx\r\n0\r\n" + bearer(ann.access_token).strip().encode() + b"\r\n\r\n"
    status, user = pod.ask(chunked, body)
    taken = (status, user) == (200, ANN.hex())
    assert not taken or pod.name in TRAILERS_ARE_HEADERS
    assert taken or status in (400, 401)


CLOSED = [
    "/closed", "/", "/public", "/public%2f../closed", "/public/..%2fclosed", "/public/../closed",
    "/public/%2e%2e/closed", "/public/.%2e/closed", "/public/./closed", "/public//closed",
    "//public/x", "//health", "/health/", "/health//", "/HEALTH", "/he%61lth", "/health%00",
    "/health%3f", "/health;x", "/health%20", "/public;/closed", "/public/..;/closed",
    "/public\\..\\closed", "/public/%5c..%5cclosed", "/public/%252e%252e/closed", "/closed?/health",
    "/closed#/health", "/closed?x=/public/", "/x/../health", "/public/%c0%ae%c0%ae/closed",
    "/%70ublic/x", "/public%2fx", "*", "health", "/public/\xe9",
]  # fmt: skip


def odd_paths_open_nothing(pod: Pod) -> None:
    """However the server decodes them, with whatever method."""
    for path in CLOSED:
        for method in ("GET", "HEAD", "OPTIONS", "POST", "PURGE"):
            status, _ = pod.ask(f"{method} {path} HTTP/1.1")
            assert status in (0, 400, 401, 403, 404, 405, 501), (method, path)
    for path in ("/health", "/health?x=%2e%2e", "/public/x", "/public/a/b.c?/closed"):
        assert pod.ask(f"GET {path} HTTP/1.1") == (200, "None"), path
        assert pod.ask(f"HEAD {path} HTTP/1.1")[0] == 200, path


UPGRADE = (
    "GET /feed HTTP/1.1\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13"
    "\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
)


async def websockets(pod: Pod, parts: Parts) -> None:
    """Opened for one who may come in, and for nobody else."""
    ann, bob = await parts.open(ANN), await parts.open(BOB)
    for credential in ("", bearer("junk"), bearer(ann.access_token) + bearer(bob.access_token)):
        assert pod.ask(UPGRADE + credential)[0] in (400, 401, 403)
    assert pod.ask(UPGRADE + bearer(ann.access_token))[0] == 101
    offer = f"\nSec-WebSocket-Protocol: openshow.bearer.{ann.access_token}, chat"
    assert pod.ask(UPGRADE + offer)[0] == 101
    assert b"\nsec-websocket-protocol: chat\r" in pod.answer.lower()
    assert ann.access_token.encode() not in pod.answer
    again = f", openshow.bearer.{bob.access_token}"
    for two in (
        offer + bearer(bob.access_token),
        offer + again,
        offer + offer.replace("chat", "other"),
    ):
        assert pod.ask(UPGRADE + two)[0] in (400, 401, 403)
    assert ann.access_token not in pod.output
