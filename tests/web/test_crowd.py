"""More connections than the process may have: who asks is served, who only waits makes room."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
from tools.testbed.access import SERVICE
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD, PATIENT, ServiceProcess
from tools.testbed.waiting import wait_until

from service.serving.connections import most_connections
from tests.support.run_queue import Stopwatch
from tests.web.test_deadlines import PART_OF_A_BODY, PART_OF_CHUNKS
from tests.web.test_pipelining import LIVE
from tests.web.wire import Wire

FILES = 256
CROWD = 400
UNREAD = b"GET /schema/openapi.json HTTP/1.1\r\nHost: test\r\n\r\n" * 100


@pytest.fixture(scope="module")
def narrow(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """A server with few file descriptors, and the deadlines as they are."""
    program = (
        "-c",
        "import resource, sys; from service.cli.program import main;"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({FILES}, {FILES})); sys.exit(main())",
    )
    directory = tmp_path_factory.mktemp("narrow")
    service = ServiceProcess(directory, redis_server.url_of(SERVICE), program=program, **PATIENT)
    yield service.start()
    assert service.stop() == 0


@pytest.mark.parametrize("limit", [64, 256, 1024, 4096, 1 << 20])
def test_some_file_descriptors_are_kept_back(limit: int) -> None:
    """For Redis, the user store and files."""
    assert limit - most_connections(limit) >= min(64, limit - 1)


def sign_up(wire: Wire, number: int) -> int:
    body = b'{"email": "crowd-%d-%d@example.com", "password": "%s"}' % (
        number,
        time.monotonic_ns(),
        PASSWORD.encode(),
    )
    return wire.ask("POST /auth/signup", f"Content-Length: {len(body)}", body=body).status_code


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /health", PART_OF_A_BODY, PART_OF_CHUNKS, LIVE, UNREAD],
    ids=["silent", "half a head", "half a body", "half of chunks", "idle", "unread"],
)
def test_others_get_in_at_once(narrow: ServiceProcess, sent: bytes) -> None:
    """A crowd that holds connections open, and does not go, delays nobody's sign-up."""
    wire = Wire(narrow.url)
    with ExitStack() as stack:
        for _ in range(CROWD):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # soon full
            connection.settimeout(10)
            with suppress(ConnectionError):
                connection.connect(wire.address)
                connection.sendall(sent)
        assert narrow.process
        for number in range(10):
            since = Stopwatch(narrow.process.pid)
            assert sign_up(wire, number) == 201
            # Else it would have to wait until others are given up, which takes ten seconds.
            assert since.own < 6, since.all
        assert "no connection can be taken" not in narrow.output()


def test_who_is_being_served_is_not_given_up(narrow: ServiceProcess) -> None:
    """While new ones keep coming in, each request that came in whole is answered."""
    wire = Wire(narrow.url)
    done = threading.Event()

    def crowd() -> None:
        held: list[socket.socket] = []
        while not done.is_set():
            with suppress(OSError):
                held.append(wire.open())
            if len(held) > CROWD:
                held.pop(0).close()
        for connection in held:
            connection.close()

    thread = threading.Thread(target=crowd)
    thread.start()
    try:
        assert [sign_up(wire, number) for number in range(100, 130)] == [201] * 30
    finally:
        done.set()
        thread.join()


def test_the_log_says_so(narrow: ServiceProcess) -> None:
    """Once in a while, with a number."""
    wire = Wire(narrow.url)

    def lines() -> list[str]:
        return [line for line in narrow.output().splitlines() if "were given up" in line]

    with ExitStack() as stack:
        for _ in range(CROWD):
            with suppress(OSError):
                stack.enter_context(wire.open())
        wait_until(lines)
    assert 1 <= len(lines()) <= 10
