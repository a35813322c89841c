import json
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from redis import Redis

from service.embedded.client import server_url
from service.embedded.server import EmbeddedServer
from tests.processes.program import REPOSITORY, Program, is_alive, server_pid, wait_until

Start = Callable[..., Program]

ADA = {"email": "ada@example.org", "password": "correct horse battery"}


def sign_up(client: httpx.Client) -> dict[str, str]:
    """Sign up; returns the headers that show the new session."""
    answer = client.post("/auth/signup", json=ADA)
    assert answer.status_code == 201, answer.text
    return {"Authorization": "Bearer " + answer.json()["accessToken"]}


class HalfSent:
    """A signup whose body the service has begun to wait for, and that is finished later."""

    def __init__(self, client: httpx.Client) -> None:
        body = b'{"email": "bob@example.org", "password": "correct horse battery"}'
        self._rest = body[10:]
        address = (client.base_url.host, client.base_url.port or 80)
        self._socket = socket.create_connection(address, timeout=30)
        self._socket.sendall(
            b"POST /auth/signup HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
            b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:10]
        )
        assert b" 100 Continue\r\n" in self._socket.recv(1000)  # the route reads the body now

    def finish(self) -> bytes:
        """Send the rest; returns the status line."""
        with self._socket:
            self._socket.sendall(self._rest)
            return self._socket.recv(65_536).split(b"\r\n")[0]


def is_drained(redis: Redis) -> bool:
    """Whether somebody else asks the server, too, for the list of its clients."""
    listing = [client for client in redis.client_list() if client["cmd"] == "client|list"]
    return len(listing) > 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_answers_open_requests_before_it_ends(start: Start, number: signal.Signals) -> None:
    """A request that is under way when the signal comes is answered; then Redis goes; exit 0."""
    program = start()
    with program.client() as client:
        assert client.get("/health/live").status_code == 200
        valkey = server_pid(program.data_dir)
        open_request = HalfSent(client)
        program.send(number)
        program.wait_for("Shutting down")
        assert is_alive(valkey)
        assert open_request.finish() == b"HTTP/1.1 201 Created"
    assert program.exit_code() == 0
    assert not is_alive(valkey)


def test_gives_up_on_a_request_that_never_ends(start: Start) -> None:
    """A client that stays silent in mid-request is told 503 in the end, which is a good one."""
    program = start()
    with program.client() as client:
        open_request = HalfSent(client)
        assert program.stop() == 0
        with open_request._socket as connection:
            head, _, body = connection.recv(65_536).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: 1\r\n" in head
    assert json.loads(body)["error"]["code"] == "service_unavailable"
    assert "Traceback" not in program.output
    assert not is_alive(server_pid(program.data_dir))


def test_finds_all_again_at_the_second_start(start: Start) -> None:
    """Users and sessions outlive a stop: the same access token and password still work."""
    program = start()
    with program.client() as client:
        headers = sign_up(client)
    assert program.stop() == 0

    with start().client() as client:
        assert client.get("/auth/me", headers=headers).status_code == 200
        assert client.post("/auth/login", json=ADA).status_code == 200


def test_finds_all_again_after_kill_9(start: Start) -> None:
    """Killed without warning, its Valkey left over: the next start takes over and finds all."""
    program = start()
    with program.client() as client:
        headers = sign_up(client)
    orphan = server_pid(program.data_dir)
    program.stop(signal.SIGKILL)
    assert is_alive(orphan)

    with start().client() as client:
        assert not is_alive(orphan)
        assert client.get("/auth/me", headers=headers).status_code == 200


def test_recovers_when_valkey_is_killed(start: Start) -> None:
    """kill -9 of the embedded Valkey: the service serves again by itself, no session is lost."""
    program = start()
    with program.client() as client:
        headers = sign_up(client)
        killed = server_pid(program.data_dir)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: server_pid(program.data_dir) != killed, "a restart of Valkey")
        wait_until(lambda: client.get("/health/ready").status_code == 200, "ready again")
        assert client.get("/auth/me", headers=headers).status_code == 200
    assert program.stop() == 0


def test_serves_with_several_workers(start: Start) -> None:
    """Two workers share keys, users and sessions, and end as one."""
    program = start(SERVICE_WORKERS="2")
    url = program.wait_for(r"serves on (http://\S+)")
    headers = {}
    for _ in range(20):  # each connection goes to any of the two
        with httpx.Client(base_url=url, timeout=30) as client:
            headers = headers or sign_up(client)
            assert client.get("/auth/me", headers=headers).status_code == 200
    assert program.stop() == 0
    assert not is_alive(server_pid(program.data_dir))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"SERVICE_PORT": "many"}, "SERVICE_PORT"),
        ({"SERVICE_PROT": "80"}, "SERVICE_PROT"),
        ({"SERVICE_BCRYPT_COST": "3"}, "SERVICE_BCRYPT_COST"),
        ({"SERVICE_HOST": "host.invalid"}, "SERVICE_HOST"),
        ({"SERVICE_REDIS_URL": "http://user:hidden@host"}, "SERVICE_REDIS_URL"),
        ({"SERVICE_DATABASE_URL": "sqlite:////proc/absent/hidden.db"}, "SERVICE_DATABASE_URL"),
        ({"SERVICE_DATA_DIR": "/dev/null/var"}, "SERVICE_DATA_DIR"),
        ({"SERVICE_DATA_DIR": "/tmp"}, "SERVICE_DATA_DIR"),
        ({"SERVICE_KMS_LOCAL_KEY_FILE": "/dev/null/key"}, "SERVICE_KMS_LOCAL_KEY_FILE"),
    ],
)
def test_stops_at_a_wrong_setting(start: Start, settings: dict[str, str], says: str) -> None:
    """Exactly one line that names the setting, no traceback, no secret, no process left."""
    program = start(**settings)
    assert program.exit_code() == 2
    assert re.fullmatch(rf"openshow-auth: .*{says}.*\n", program.output), program.output
    assert "user:hidden" not in program.output
    if (program.data_dir / "redis" / "server.lock").exists():
        assert not is_alive(server_pid(program.data_dir))


def test_says_when_the_port_is_in_use(start: Start) -> None:
    """One line; and a Valkey is not even started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        program = start(SERVICE_PORT=str(taken.getsockname()[1]))
        assert program.exit_code() == 2
    assert re.fullmatch(r"openshow-auth: .*already in use.*SERVICE_PORT.*\n", program.output)
    assert not (program.data_dir / "redis").exists()


def test_says_when_another_service_has_the_data(start: Start) -> None:
    """One line that names the other's pid; the other goes on."""
    first = start()
    with first.client() as client:
        second = start()
        assert second.exit_code() == 2
        assert re.fullmatch(rf"openshow-auth: .*\(pid {first.pid}\).*\n", second.output)
        wait_until(lambda: client.get("/health/ready").status_code == 200, "it is ready")


def test_refuses_a_server_that_evicts(
    start: Start, embedded: Callable[..., EmbeddedServer], tmp_path: Path
) -> None:
    """A maxmemory-policy that drops keys drops sessions: one line that says what to change."""
    embedded(tmp_path / "elsewhere").start()
    url = server_url(tmp_path / "elsewhere")
    with Redis.from_url(url.reveal()) as redis:
        redis.config_set("maxmemory-policy", "allkeys-lru")
    program = start(SERVICE_REDIS_URL=url.reveal())
    assert program.exit_code() == 2
    assert re.fullmatch(r"openshow-auth: .*maxmemory-policy.*noeviction.*\n", program.output)


def test_ends_well_when_the_signal_comes_early(start: Start) -> None:
    """SIGTERM while Valkey or the app is starting: no half-started process stays."""
    program = start()
    lock = program.data_dir / "redis" / "server.lock"
    wait_until(lambda: lock.exists() and lock.read_text(), "Valkey is being started")
    assert program.stop() == 0
    assert not is_alive(server_pid(program.data_dir))
    assert "Traceback" not in program.output


def test_runs_under_a_process_manager(start: Start, tmp_path: Path) -> None:
    """The Procfile with honcho, which stops all at once: Redis waits for the draining web."""
    procfile = (REPOSITORY / "Procfile").read_text()
    assert "exec .venv/bin/python " in procfile
    (tmp_path / "Procfile").write_text(procfile.replace(".venv/bin/python", sys.executable))
    command = ("-m", "honcho", "-d", str(REPOSITORY), "-f", str(tmp_path / "Procfile"), "start")
    program = start(*command, PYTHONPATH=str(REPOSITORY))
    with program.client() as client:
        headers = sign_up(client)
        valkey = server_pid(program.data_dir)
        open_request = HalfSent(client)
        with Redis.from_url(server_url(program.data_dir).reveal()) as redis:
            program.send(signal.SIGTERM)
            program.wait_for("Shutting down")
            wait_until(lambda: is_drained(redis), "the redis process looks who is connected")
        assert open_request.finish() == b"HTTP/1.1 201 Created"
    program.exit_code()
    assert len(re.findall(r"(redis|web)\.1 stopped \(rc=0\)", program.output)) == 2, program.output
    assert "SIGKILL" not in program.output
    assert not is_alive(valkey)

    with start().client() as client:  # scripts/up finds what the Procfile's processes wrote
        assert client.get("/auth/me", headers=headers).status_code == 200


@pytest.mark.parametrize("script", ["up", "test", "check", "lock"])
def test_scripts_explain_themselves(start: Start, script: str) -> None:
    """`--help` says what a script does, without setting anything up."""
    shell = shutil.which("sh")
    path = REPOSITORY / "scripts" / script
    program = start("-c", f"import os; os.execv({shell!r}, ['sh', '{path}', '--help'])")
    assert program.exit_code() == 0
    assert program.output.startswith(f"scripts/{script} ")
