"""What a client without a token sends, and how much memory it takes: no more than 20 MB."""

import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from tools.testbed.access import SERVICE
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PATIENT, ServiceProcess
from tools.testbed.waiting import wait_until

from service.serving import memory
from tests.web.resident import MIB, Growth
from tests.web.wire import Wire

MOST = 20 * MIB
LOGIN = b"POST /auth/login HTTP/1.1\r\nHost: test\r\n"


@pytest.fixture(scope="module")
def alone(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """A server of this module's own, which has done its first work, with a proxy in front."""
    directory = tmp_path_factory.mktemp("alone")
    service = ServiceProcess(
        directory,
        redis_server.url_of(SERVICE),
        SERVICE_TRUSTED_PROXIES="127.0.0.0/8",
        SERVICE_LOG_LEVEL="warning",
        **PATIENT,
    ).start()
    wire = Wire(service.url)
    for path in ("/schema", "/schema/openapi.json", "/health/ready?x=y", "/metrics"):
        for _ in range(20):
            wire.ask(f"GET {path}")
    wire.ask("POST /auth/login", "Content-Length: 2", body=b"{}")
    yield service
    assert service.stop() == 0


def text(length: int) -> str:
    """Some that was never there before."""
    return secrets.token_hex(length // 2)


def fields(name: str, number: int) -> str:
    return "&".join(f"{name}{secrets.token_hex(4)}=" for _ in range(number))


ONCE_EACH: dict[str, Callable[[], tuple[str, list[str]]]] = {
    "queries of 60 kB": lambda: (f"GET /health/ready?{text(60_000)}", []),
    "queries that pass": lambda: (f"GET /health/ready?{fields('', 100)}", []),
    "paths": lambda: (f"GET /auth/sessions/{text(60_000)}", []),
    "paths that pass": lambda: (f"DELETE /auth/sessions/{text(200)}", []),
    "targets of another form": lambda: (f"GET http://{text(10_000)}/auth/me", []),
    "fragments": lambda: (f"GET /auth/me#{text(60_000)}", []),
    "addresses": lambda: ("POST /auth/refresh", [f"X-Forwarded-For: {text(60_000)}"]),
    "addresses, joined": lambda: (
        "POST /auth/refresh",
        [f"X-Forwarded-For: {text(30_000)}", f"X-Forwarded-For: {text(30_000)}"],
    ),
    "media types": lambda: ("POST /auth/refresh", [f"Content-Type: {text(60_000)}"]),
    "user agents": lambda: ("POST /auth/refresh", [f"User-Agent: {text(60_000)}"]),
    "cookies": lambda: ("GET /auth/me", [f"Cookie: {text(60_000)}"]),
    "hosts": lambda: ("GET /health/live", [f"X-Forwarded-Host: {text(60_000)}"]),
    "ids": lambda: ("GET /health/live", [f"X-Request-Id: {text(60_000)}"]),
    "credentials": lambda: ("GET /auth/me", [f"Authorization: Bearer {text(60_000)}"]),
    "names": lambda: ("GET /health/live", [f"{text(60_000)}: x"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", ONCE_EACH)
def test_nothing_that_is_sent_is_kept(alone: ServiceProcess, kind: str) -> None:
    """600 requests, each with something else of up to 60 kB: 36 MB in all."""
    growth = Growth(alone)
    wire = Wire(alone.url)
    body = b'{"refreshToken": "osr_x"}'
    for number in range(600):
        line, headers = ONCE_EACH[kind]()
        if line.startswith("POST"):
            headers.append(f"Content-Length: {len(body)}")
        wire.ask(line, *headers, body=body if line.startswith("POST") else b"")
        if number % 50 == 0:
            growth.look()
    assert growth.look() < MOST
    assert growth.highest < MOST


def flooded(sockets: list[socket.socket], data: bytes) -> None:
    """Send as much of `data` to each as it takes now."""
    for connection in sockets:
        with suppress(BlockingIOError, ConnectionError):
            connection.send(data)


UNREAD = {
    "GET /schema": b"GET /schema HTTP/1.1\r\nHost: test\r\n\r\n" * 1500,
    "the document": b"GET /schema/openapi.json HTTP/1.1\r\nHost: test\r\n\r\n" * 1200,
    "bodies": (LOGIN + b"Content-Length: 60000\r\n\r\n" + b" " * 60_000) * 2,
    "chunks": (LOGIN + b"Transfer-Encoding: chunked\r\n\r\n") + b"1\r\nx\r\n" * 20_000,
    "refusals": b"GET /nothing HTTP/1.1\r\nHost: test\r\n\r\n" * 1500,
}


@pytest.mark.parametrize("kind", UNREAD)
def test_answers_that_nobody_reads(alone: ServiceProcess, kind: str) -> None:
    """100 connections, each as full of requests as it gets; nobody reads an answer."""
    growth = Growth(alone)
    wire = Wire(alone.url)
    with ExitStack() as stack:
        sockets = []
        for _ in range(100):
            connection = stack.enter_context(wire.open())
            connection.setblocking(False)
            sockets.append(connection)
        for _ in range(20):
            flooded(sockets, UNREAD[kind])
            growth.watch(0.1)
        assert wire.ask("GET /health/live").status_code == 200
        growth.watch(1)
    growth.watch(1)
    assert growth.highest < MOST


HALVES = {
    "a header": b"GET /health/live HTTP/1.1\r\nHost: test\r\nX: " + b"x" * 60_000,
    "headers": b"GET /health/live HTTP/1.1\r\nHost: test\r\n"
    + (b"X: " + b"x" * 990 + b"\r\n") * 60,
    "bodies": LOGIN + b"Content-Length: 65000\r\n\r\n" + b"x" * 60_000,
}


@pytest.mark.parametrize("kind", HALVES)
def test_what_a_flood_took_is_given_back(alone: ServiceProcess, kind: str) -> None:
    """800 connections with 60 kB of a request that never ends: once they have gone, it has, too."""
    growth = Growth(alone)
    wire = Wire(alone.url)
    for _ in range(2):
        with ExitStack() as stack:
            for _ in range(800):
                stack.enter_context(wire.open()).sendall(HALVES[kind])
            growth.watch(1)
            if kind == "a header":  # kept in one piece until it is whole
                wait_until(lambda: growth.look() > 2 * MOST)
        growth.watch(2)
    wait_until(lambda: growth.look() < MOST)
    assert wire.ask("GET /health/live").status_code == 200


def test_who_comes_and_goes_makes_it_work_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crowds that come and go each second: memory is given back every five, not for each."""
    trimmed: list[float] = []
    now = 0.0
    monkeypatch.setattr(memory, "_find_trim", lambda: lambda _: trimmed.append(now))
    watch = memory.Memory(lambda: now)
    for _ in range(12):
        for connections in (200, 0, 0):
            watch.look(connections)
        now += 1
    for _ in range(6):  # and what was not given back then is given back later
        watch.look(0)
        now += 1
    assert trimmed == [0, 5, 10, 15]


ENDLESS = {
    "trailers": (LOGIN + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"a:\r\n" * 10_000),
    "a trailer": (LOGIN + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\na: ", b"x" * 40_000),
    "an extension": (LOGIN + b"Transfer-Encoding: chunked\r\n\r\n2;", b"x" * 40_000),
    "extensions": (LOGIN + b"Transfer-Encoding: chunked\r\n\r\n", b"1;x=yyyyyyy\r\nx\r\n" * 4000),
    "a size": (LOGIN + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 40_000),
    "a chunk": (LOGIN + b"Transfer-Encoding: chunked\r\n\r\nfffffff\r\n", b"x" * 40_000),
    "a body": (LOGIN + b"Content-Length: 1000000000\r\n\r\n", b"x" * 40_000),
    "headers": (LOGIN, b"a:\r\n" * 10_000),
    "a header": (LOGIN + b"a: ", b"x" * 40_000),
    "a name": (LOGIN, b"x" * 40_000),
    "a query": (b"GET /health/ready?", b"x" * 40_000),
    "empty lines": (b"\r\n", b"\r\n" * 20_000),
    "line feeds": (b"\n", b"\n" * 40_000),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_what_does_not_end(alone: ServiceProcess, kind: str) -> None:
    """32 MB on one connection, or as much as is taken."""
    growth = Growth(alone)
    begin, more = ENDLESS[kind]
    wire = Wire(alone.url)
    with wire.open() as connection, suppress(ConnectionError):
        connection.sendall(begin)
        for number in range(32_000_000 // len(more)):
            connection.sendall(more)
            if number % 20 == 0:
                growth.look()
    assert wire.ask("GET /health/live").status_code == 200
    growth.look()
    assert growth.highest < MOST
