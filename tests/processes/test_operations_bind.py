"""The socket of operators: what is served there, and no longer to the public."""

import re
import signal
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tools.testbed.ports import free_port

from service.errors import StartupError
from service.serving.listeners import bound, bound_to
from service.settings import Settings
from service.settings.binds import Bind
from tests.processes.program import Program, wait_until

Start = Callable[..., Program]

MOVED = ("/metrics", "/schema", "/schema/openapi.json")


def test_operators_have_a_port_of_their_own(start: Start) -> None:
    """Metrics, schema and reasons are there alone, in each worker; and nobody logs in there.

    The issuer is https, so that each answer of either port also tells browsers to stay with that.
    """
    program = start(
        SERVICE_OPERATIONS_BIND="127.0.0.1:0",
        SERVICE_WORKERS="2",
        SERVICE_ISSUER="https://id.example",
    )
    operations = program.wait_for(r"readiness and all calls \(\S+\) are at (http://\S+?);")
    with program.client() as public, httpx.Client(base_url=operations, timeout=30) as ours:
        for _ in range(4):
            for path in MOVED:
                for method in ("GET", "HEAD", "OPTIONS", "POST"):
                    assert public.request(method, path).status_code == 404
                assert httpx.get(operations + path).status_code == 200  # a connection each
            wait_until(lambda: public.get("/health/ready").status_code == 200, "it is ready")
            short = public.get("/health/ready")
            assert short.status_code == 200
            assert set(short.json()) == {"redis", "users", "keyring", "clock"}
            for part in short.json().values():
                assert part == {"ok": True, "message": "It can serve."}
        assert ours.get("/health/ready").json()["redis"]["facts"]["version"]
        for path in ("/auth/me", "/.well-known/jwks.json", "/account"):
            assert ours.get(path).status_code == 404
        assert ours.post("/auth/login", json={}).status_code == 404
        assert public.get("/.well-known/jwks.json").status_code == 200
        for client in (public, ours):
            answer = client.get("/health/live")
            assert answer.status_code == 200
            assert answer.headers["strict-transport-security"] == "max-age=31536000"
        metrics = ours.get("/metrics").text
        assert re.search(r'method="GET",route="/health/live",status="200"} [1-9]', metrics)
    assert program.stop() == 0


def test_both_ports_say_that_it_stops(start: Start) -> None:
    """From SIGTERM on neither is ready, and both serve until the delay is over, here by Ctrl-C."""
    program = start(SERVICE_OPERATIONS_BIND="127.0.0.1:0", SERVICE_DRAIN_DELAY="600")
    operations = program.wait_for(r"are at (http://\S+?);")
    with program.client() as public, httpx.Client(base_url=operations, timeout=30) as ours:
        for client in (public, ours):
            wait_until(
                lambda client=client: client.get("/health/ready").status_code == 200, "ready"
            )
        program.send(signal.SIGTERM)
        wait_until(lambda: ours.get("/health/ready").status_code == 503, "it says that it stops")
        told = ours.get("/health/ready").json()
        assert "stopping" in told["process"]["message"]
        assert public.get("/health/ready").status_code == 503
        assert public.get("/health/live").headers["connection"] == "close"
        assert ours.get("/metrics").headers["connection"] == "close"
    assert program.stop(signal.SIGINT) == 0


def test_a_socket_file(start: Start, tmp_path: Path) -> None:
    """It serves by a file that only its user may use, and which is gone afterwards."""
    path = tmp_path / "operations.sock"
    program = start(SERVICE_OPERATIONS_BIND=f"unix:{path}")
    assert program.wait_for(rf"are at (unix:{path});")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    transport = httpx.HTTPTransport(uds=str(path))
    with httpx.Client(transport=transport, base_url="http://operations") as client:
        assert client.get("/metrics").status_code == 200
        assert client.get("/auth/me").status_code == 404
    wait_until(lambda: '"route":"/metrics"' in program.output, "it is in the log")
    assert program.stop() == 0
    assert not path.exists()


def test_operators_have_http_of_their_own(start: Start, tmp_path: Path) -> None:
    """By a file that only its user may use, in each worker, beside a port with everything else.

    Whoever has stopped it finds the file gone.
    """
    path = tmp_path / "admin.sock"
    program = start(SERVICE_ADMIN_BIND=f"unix:{path}", SERVICE_WORKERS="2")
    assert program.wait_for(rf"Operators' HTTP is at (unix:{path});")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for _ in range(4):  # a connection each
        transport = httpx.HTTPTransport(uds=str(path))
        with httpx.Client(transport=transport, base_url="http://admin") as client:
            assert client.get("/admin/api-keys").status_code == 401
            assert client.get("/schema/openapi.json").json()["paths"]["/admin/api-keys"]
            assert client.get("/metrics").status_code == 404
    with program.client() as public:
        assert public.get("/metrics").status_code == 200
        assert public.get("/admin/api-keys").status_code == 404
        assert "/admin/users" not in public.get("/schema/openapi.json").json()["paths"]
    assert program.stop() == 0
    assert not path.exists()


def test_a_socket_that_is_left_over_is_replaced(tmp_path: Path) -> None:
    """As kill -9 leaves one; but not one on which somebody listens, nor any other file."""
    path = tmp_path / "a.sock"
    place = Bind(path=str(path))
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with bound_to(place, "SERVICE_X") as living:
        living.listen()
        with (
            pytest.raises(StartupError, match="set SERVICE_X to another"),
            bound_to(place, "SERVICE_X"),
        ):
            pass
        assert path.is_socket()
    assert not path.exists()
    path.write_text("precious")
    with pytest.raises(StartupError, match="SERVICE_X"), bound_to(place, "SERVICE_X"):
        pass
    assert path.read_text() == "precious"


def test_a_port_that_is_taken_is_one_line(start: Start) -> None:
    """Exit code 2, as for the public port, and the line names the setting."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = start(SERVICE_OPERATIONS_BIND=f"127.0.0.1:{port}")
        assert program.exit_code() == 2
    [line] = program.output.splitlines()
    assert "SERVICE_OPERATIONS_BIND" in line


@pytest.mark.parametrize("place", ["127.0.0.1:{}", "0.0.0.0:{}"])
def test_one_port_for_both_is_refused(start: Start, place: str) -> None:
    """The system would let both be bound, and fail once they listen."""
    port = free_port()
    program = start(SERVICE_PORT=str(port), SERVICE_OPERATIONS_BIND=place.format(port))
    assert program.exit_code() == 2
    [line] = program.output.splitlines()
    assert "SERVICE_OPERATIONS_BIND is the port of SERVICE_PORT" in line


@pytest.mark.parametrize("at", ["unix", "spelt otherwise", "operations", "public"])
def test_one_place_for_operators_is_refused(at: str, tmp_path: Path) -> None:
    """Their HTTP is neither where metrics are, by port or by file, nor where everybody is."""
    port = free_port()
    here = Bind(host="127.0.0.1", port=port)
    file, again = (
        Bind(path=f"{tmp_path}/a.sock"),
        Bind(path=f"{tmp_path}/../{tmp_path.name}/a.sock"),
    )
    settings = {
        "unix": Settings(port=0, operations_bind=file, admin_bind=file),
        "spelt otherwise": Settings(port=0, operations_bind=file, admin_bind=again),
        "operations": Settings(port=0, operations_bind=here, admin_bind=here),
        "public": Settings(port=port, admin_bind=here),
    }[at]
    with pytest.raises(StartupError, match="SERVICE_ADMIN_BIND is"), bound(settings):
        pass


def test_the_version(start: Start) -> None:
    """`--version` prints the program's name and version, and needs no settings."""
    program = start("-m", "service", "--version", SERVICE_NONSENSE="1")
    assert program.exit_code() == 0
    assert re.fullmatch(r"openshow-auth \d+\.\d+\.\d+\n", program.output)
