"""Clients that say nothing, or not all, or do not listen, and a server with short deadlines."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
from tools.testbed.access import SERVICE
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import ServiceProcess

from service.web.deadlines import DEADLINES, Deadlines
from tests.support.run_queue import Stopwatch
from tests.web.test_pipelining import LIVE, statuses
from tests.web.wire import Wire, error_of, parse

IMPATIENT = ("-m", "tests.web.impatient")

LOGIN = b"POST /auth/login HTTP/1.1\r\nHost: test\r\n"
PART_OF_A_BODY = LOGIN + b'Content-Length: 100\r\n\r\n{"email"'
PART_OF_CHUNKS = LOGIN + b'Transfer-Encoding: chunked\r\n\r\n8\r\n{"email"'
PART_OF_TRAILERS = LOGIN + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\na: b\r\n"


@pytest.fixture(scope="module")
def impatient(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Wire]:
    """A server with the deadlines of tests/web/impatient.py."""
    directory = tmp_path_factory.mktemp("impatient")
    service = ServiceProcess(directory, redis_server.url_of(SERVICE), program=IMPATIENT)
    wire = Wire(service.start().url)
    assert service.process
    wire.pids = (service.process.pid,)
    yield wire
    assert service.stop() == 0


def test_the_deadlines_are_the_contract_s() -> None:
    """What the other tests shorten."""
    assert Deadlines() == DEADLINES
    assert (DEADLINES.first_byte, DEADLINES.head) == (10, 10)
    assert (DEADLINES.body, DEADLINES.answer) == (30, 30)
    assert (DEADLINES.whole_body, DEADLINES.whole_answer) == (60, 300)


@pytest.mark.parametrize(
    "sent",
    [
        b"", b"\r\n", b"G", b"GET /health/live HTTP/1.1\r\nHost: test\r\n", PART_OF_A_BODY,
        PART_OF_CHUNKS, PART_OF_TRAILERS,
        LOGIN + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n",
        b"POST /auth/2fa/enable HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)  # fmt: skip
def test_who_does_not_go_on_is_told(impatient: Wire, sent: bytes) -> None:
    """408 in the one shape, and the end; also where another request was answered before."""
    received = impatient.send(sent).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    answer = parse(received)
    assert (answer.status_code, error_of(answer)) == (408, "request_timeout")
    assert answer.headers["connection"] == "close"
    if sent.strip():
        received = impatient.send(LIVE + sent)
        assert statuses(received.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")) == [200, 408]


def test_an_oauth_endpoint_says_so_in_its_own_shape(impatient: Wire) -> None:
    """That of RFC 6749, as whatever else it answers."""
    head = b"POST /oauth/revoke HTTP/1.1\r\nHost: test\r\nContent-Length: 99\r\n"
    form = b"Content-Type: application/x-www-form-urlencoded\r\n\r\ntoken="
    answer = parse(impatient.send(head + form))
    assert answer.status_code == 408
    assert set(answer.json()) == {"error", "error_description"}
    assert answer.json()["error"] == "request_timeout"


def test_an_idle_connection_is_closed_without_a_word(impatient: Wire) -> None:
    """Between requests nothing is due."""
    assert statuses(impatient.send(LIVE)) == [200]


def dripping(wire: Wire, connection: socket.socket, drops: Iterator[bytes]) -> float:
    """Seconds for which the server takes drops, each a moment after the one before."""
    since = Stopwatch(*wire.pids)
    connection.settimeout(0.1)
    try:
        for drop in drops:
            connection.sendall(drop)
            try:
                connection.recv(65_536)
                break  # an answer, or the end
            except TimeoutError:
                continue
    except OSError:
        pass
    return since.own


def test_a_head_that_drips_in_has_the_same_time(impatient: Wire) -> None:
    """A byte now and then gains nothing: a head has ten seconds as a whole."""
    with impatient.open() as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\n")
        assert dripping(impatient, connection, iter([b"X: y\r\n"] * 60)) < 4


@pytest.mark.parametrize("after", ["first", "answer"])
def test_empty_lines_are_no_head(impatient: Wire, after: str) -> None:
    """They are skipped, and gain no time."""
    with impatient.open() as connection:
        if after == "answer":
            connection.sendall(LIVE)
            assert connection.recv(65_536)
        assert dripping(impatient, connection, iter([b"\r\n"] * 100)) < 6


def test_a_body_that_goes_on_is_waited_for(impatient: Wire) -> None:
    """Its time without progress begins anew with each byte."""
    began = time.monotonic()
    with impatient.open() as connection:
        connection.sendall(LOGIN + b"Connection: close\r\nContent-Length: 8\r\n\r\n")
        for byte in b'{"a": 1}':
            time.sleep(0.3)
            connection.sendall(bytes((byte,)))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 400 ")
    assert time.monotonic() - began > 2


@pytest.mark.parametrize("begun", [PART_OF_A_BODY, PART_OF_CHUNKS])
def test_a_body_that_drips_in_ends(impatient: Wire, begun: bytes) -> None:
    """A byte now and then gains no more than the time that a body has as a whole: 408."""
    with impatient.open() as connection:
        connection.sendall(begun)
        connection.settimeout(0.1)
        received = b""
        for _ in range(600):  # some forty are enough
            with suppress(TimeoutError):
                received = connection.recv(65_536)
                break  # an answer, or the end
            with suppress(OSError):
                connection.sendall(b" " if begun is PART_OF_A_BODY else b"\r\n1\r\n ")
        assert received.startswith(b"HTTP/1.1 408 ")


def test_what_comes_after_the_answer_gains_no_time(impatient: Wire) -> None:
    """A refused body that drips on for ever is not waited for."""
    with impatient.open() as connection:
        connection.sendall(b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 65000\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 404 ")
        assert dripping(impatient, connection, iter([b"x"] * 60)) < 5


def test_an_answer_that_nobody_reads_is_given_up(impatient: Wire) -> None:
    """The connection is reset when nothing of it was taken in the time."""
    with impatient.open() as connection:
        connection.settimeout(20)
        request = b"GET /schema HTTP/1.1\r\nHost: test\r\n\r\n"
        with pytest.raises((ConnectionResetError, BrokenPipeError)):  # noqa: PT012  a loop
            while True:
                connection.sendall(request * 1000)


def test_a_slow_reader_gets_all(impatient: Wire) -> None:
    """As long as it takes something, the rest is kept for it."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(10)
        connection.connect(impatient.address)
        line = b"GET /schema/openapi.json HTTP/1.1\r\nHost: test\r\n"
        connection.sendall((line + b"\r\n") * 60 + line + b"Connection: close\r\n\r\n")
        received = 0
        began = time.monotonic()
        while more := connection.recv(100_000 if time.monotonic() > began + 4 else 2_000):
            received += len(more)
            time.sleep(0.005)
    assert time.monotonic() - began > 3
    whole = len(impatient.ask("GET /schema/openapi.json").content)
    assert received > 61 * whole


def test_others_are_served_meanwhile(impatient: Wire) -> None:
    """Silent ones, halves of heads and bodies, unread answers: a hundred of each."""
    unread = b"GET /schema/openapi.json HTTP/1.1\r\nHost: test\r\n\r\n" * 100
    with ExitStack() as stack:
        for sent in (b"", b"GET /", PART_OF_A_BODY, PART_OF_CHUNKS, PART_OF_TRAILERS, unread):
            for _ in range(100):
                stack.enter_context(impatient.open()).sendall(sent)
        took = []
        for _ in range(21):
            began = time.monotonic()
            assert impatient.ask("GET /health/live").status_code == 200
            took.append(time.monotonic() - began)
        assert sorted(took)[5] < 0.25  # of 21: the others may have waited for a core
