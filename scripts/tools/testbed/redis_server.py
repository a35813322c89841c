"""A real Valkey or Redis with the repository's own redis.conf."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import redis

from service.embedded.files import find_binary
from service.settings import Secret
from tools.testbed import access
from tools.testbed.access import Addressed
from tools.testbed.ports import free_port
from tools.testbed.server_process import ServerProcess

REPOSITORY = Path(__file__).parents[3]


def available() -> dict[str, Path]:
    """Find the servers of this machine, by name: Valkey always, Redis where it is installed."""
    servers = {"valkey": find_binary()}
    if installed := shutil.which("redis-server"):
        servers["redis"] = Path(installed)
    return servers


class RedisServer(Addressed, ServerProcess):
    """A server in `directory`."""

    def __init__(
        self,
        binary: Path,
        directory: Path,
        *options: str,
        configuration: Path = REPOSITORY / "redis.conf",
    ) -> None:
        self.binary = binary
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
        super().__init__(directory, "server.log")

    def _popen(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self._command, cwd=self.directory)

    def _answers(self) -> bool:
        try:
            return bool(self.client().ping())
        except redis.exceptions.ConnectionError:  # not yet, or still loading
            return False

    def client(self) -> "redis.Redis":
        """Make a plain client, for looking from outside."""
        return redis.Redis.from_url(self.url.reveal())

    def files(self) -> Iterator[Path]:
        """List everything that it keeps on disk."""
        return (path for path in self.directory.rglob("*") if path.is_file())


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
        """Ask for its role as it sees itself: `master` or `slave`."""
        with self.client() as client:
            return str(client.role()[0].decode())

    def calls(self, *commands: str) -> int:
        """Count how often it has been sent these commands since it started."""
        with self.client() as client:
            counts = client.info("commandstats")
        return sum(counts.get(f"cmdstat_{name}", {}).get("calls", 0) for name in commands)
