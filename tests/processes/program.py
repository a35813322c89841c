"""The service as a process of its own, as a person starts it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp
from typing import Any

import httpx
from tools.testbed.forked import ForkedProgram, Running, can_fork

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE = 60.0  # seconds after which something that should have happened counts as failed


def wait_until(condition: Callable[[], Any], what: str) -> None:
    """Wait until the condition holds; fail with `what` when it never does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"never happened: {what}")
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits to be reaped does not."""
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def server_pid(data_dir: Path) -> int:
    """The process id of the embedded server of a data directory."""
    return int((data_dir / "redis" / "server.lock").read_text())


class Program:
    """A started command, its output, and the address it serves on."""

    def __init__(self, data_dir: Path, *command: str, **settings: str) -> None:
        """`python -m service serve` unless a command (its arguments to `python`) is given."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SERVICE_")}
        environment |= {"SERVICE_ENV": "test", "SERVICE_BCRYPT_COST": "4", "SERVICE_PORT": "0"}
        environment |= {"SERVICE_DATA_DIR": str(data_dir), "PYTHONUNBUFFERED": "1"} | settings
        self.data_dir = data_dir
        self._may_be_forked = can_fork(os.environ | settings)
        descriptor, path = mkstemp(".log", "program-", data_dir.parent)
        self._log = Path(path)
        self._process = self._launched(command, environment, descriptor)
        os.close(descriptor)
        self.pid = self._process.pid

    def _launched(
        self, command: Sequence[str], environment: Mapping[str, str], log: int
    ) -> Running:
        if not command and self._may_be_forked:
            return ForkedProgram(
                "service", ["serve"], REPOSITORY, environment, self._log, own_session=True
            )
        return subprocess.Popen(
            [sys.executable, *(command or ("-m", "service", "serve"))],
            cwd=REPOSITORY,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def output(self) -> str:
        """All that it has printed so far."""
        return self._log.read_text(encoding="utf-8")

    def wait_for(self, pattern: str) -> str:
        """Wait for the pattern in the output; returns its first group, or all that matched."""
        found: list[re.Match[str]] = []

        def look() -> bool:
            found.extend(re.finditer(pattern, self.output))
            assert found or self._process.poll() is None, self.output
            return bool(found)

        wait_until(look, f"{pattern} in {self.output!r}")
        return found[0].group(found[0].lastindex or 0)

    def client(self) -> httpx.Client:
        """An HTTP client for the address, once the program has said that it serves."""
        return httpx.Client(base_url=self.wait_for(r"serves on (http://\S+)"), timeout=PATIENCE)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def exit_code(self) -> int:
        """Wait for the end."""
        return self._process.wait(PATIENCE)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop and wait for the end."""
        self.send(number)
        return self.exit_code()

    def clear_away(self) -> None:
        """After a test that may have failed: leave no process behind."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        with suppress(ProcessLookupError):  # workers may have outlived it
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        with suppress(FileNotFoundError, ValueError, ProcessLookupError):
            os.kill(server_pid(self.data_dir), signal.SIGKILL)
