"""A real Valkey or Redis with the repository's own redis.conf."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import redis

from service.embedded.files import find_binary
from service.settings import Secret
from tools.testbed import access
from tools.testbed.ports import free_port
from tools.testbed.waiting import wait_until

REPOSITORY = Path(__file__).parents[3]


def available() -> dict[str, Path]:
    """The servers that this machine has, by name: Valkey always, Redis where it is installed."""
    servers = {"valkey": find_binary()}
    if installed := shutil.which("redis-server"):
        servers["redis"] = Path(installed)
    return servers


class RedisServer:
    """A server in `directory`. Can be killed and started again on its data."""

    def __init__(
        self,
        binary: Path,
        directory: Path,
        *options: str,
        configuration: Path = REPOSITORY / "redis.conf",
    ) -> None:
        self.binary = binary
        self.directory = directory
        self._command = [
            str(binary), str(configuration),
            "--dir", str(directory),
            "--logfile", str(directory / "server.log"),
            *options,
        ]  # fmt: skip
        if "--sentinel" not in options:  # Sentinel knows other commands
            users = access.write(directory, cluster="--cluster-enabled" in options)
            self._command += ["--aclfile", str(users)]
        self.url = Secret(f"unix://{directory / 'redis.sock'}")
        self.process: subprocess.Popen[bytes] | None = None
        self.frozen = False

    @property
    def answers(self) -> bool:
        """Whether it is neither dead nor frozen, as far as tests have done it."""
        return self.process is not None and not self.frozen

    def start(self) -> Self:
        """Start it and wait until it answers."""
        self.process = subprocess.Popen(self._command, cwd=self.directory)
        wait_until(self._answers)
        return self

    def client(self) -> "redis.Redis":
        """A plain client, for looking from outside."""
        return redis.Redis.from_url(self.url.reveal())

    def url_of(self, user: str) -> Secret:
        """The address for one of the ACL users of redis.conf; `url` is that of `default`."""
        return access.url_as(user, self.url)

    def kill(self) -> None:
        """kill -9: nothing is flushed, no one is told."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it in good order."""
        if self.process is not None:
            self.resume()
            self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """It holds its connections and answers nothing (SIGSTOP)."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)
        self.frozen = True

    def resume(self) -> None:
        """The end of `freeze`."""
        assert self.process
        self.process.send_signal(signal.SIGCONT)
        self.frozen = False

    def heal(self) -> None:
        """Whatever a test did to it, it serves again."""
        if self.process is None:
            self.start()
        self.resume()

    def files(self) -> Iterator[Path]:
        """Everything that it keeps on disk."""
        return (path for path in self.directory.rglob("*") if path.is_file())

    def _end(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)
        self.process.wait()
        self.process = None

    def _answers(self) -> bool:
        assert self.process
        assert self.process.poll() is None, (self.directory / "server.log").read_text()
        try:
            return bool(self.client().ping())
        except redis.exceptions.ConnectionError:  # not yet, or still loading
            return False


class NetworkServer(RedisServer):
    """A server that listens on a port of loopback too. `client` goes through its socket file."""

    def __init__(self, binary: Path, directory: Path, *options: str) -> None:
        self.port = free_port()
        directory.mkdir(parents=True, exist_ok=True)
        # A copy, because Sentinel has servers rewrite their configuration when roles change.
        own = Path(shutil.copy(REPOSITORY / "redis.conf", directory))
        listen = ("--port", str(self.port), "--bind", "127.0.0.1")
        super().__init__(binary, directory, *listen, *options, configuration=own)
        self.url = Secret(f"redis://127.0.0.1:{self.port}/0")

    def leave_port_to_proxy(self) -> None:
        """Listen elsewhere, so that a proxy can take the port by which others know the server."""
        own = ("--port", str(free_port()))
        known_as = ("--replica-announce-ip", "127.0.0.1", "--replica-announce-port", str(self.port))
        self._command += [*own, *known_as]

    def client(self) -> "redis.Redis":
        return redis.Redis(unix_socket_path=str(self.directory / "redis.sock"))

    def role(self) -> str:
        """`master` or `slave`, as it sees itself."""
        with self.client() as client:
            return str(client.role()[0].decode())

    def calls(self, *commands: str) -> int:
        """How often it has been sent these commands since it started."""
        with self.client() as client:
            counts = client.info("commandstats")
        return sum(counts.get(f"cmdstat_{name}", {}).get("calls", 0) for name in commands)
