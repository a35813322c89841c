"""A server as a process: started, waited for, held still, and ended one way or another."""

import signal
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from tools.testbed.forked import Running
from tools.testbed.waiting import PATIENCE, wait_until


class ServerProcess(ABC):
    """A server that can be killed and started again on its data."""

    def __init__(self, directory: Path, log: str) -> None:
        """`log` is the file in there that tells why it has ended, should it end by itself."""
        self.directory = directory
        self.process: Running | None = None
        self.frozen = False
        self._log = directory / log

    @abstractmethod
    def _popen(self) -> Running:
        """Start the program."""

    @abstractmethod
    def _answers(self) -> bool:
        """Ask whether it serves."""

    @property
    def answers(self) -> bool:
        """Whether it is neither dead nor frozen, as far as tests have done it."""
        return self.process is not None and not self.frozen

    def start(self, patience: float = PATIENCE) -> Self:
        """Start it and wait until it answers, for so many seconds at most."""
        self._launch()
        wait_until(self._is_up, patience)
        return self

    def _launch(self) -> Running:
        self.process, self.frozen = self._popen(), False
        return self.process

    def _is_up(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.output()
        return self._answers()

    def output(self) -> str:
        """Read all that it has printed and logged so far."""
        return self._log.read_text(encoding="utf-8")

    def kill(self) -> None:
        """Send kill -9: nothing is flushed, no one is told."""
        self.stop(signal.SIGKILL)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop, and wait. Its exit code; 0 if it does not run."""
        if self.process is None:
            return 0
        if number != signal.SIGKILL:
            self.resume()
        self.process.send_signal(number)
        code = self.process.wait(timeout=2 * PATIENCE)
        self.process, self.frozen = None, False
        return code

    def freeze(self) -> None:
        """Have it hold its connections and do nothing (SIGSTOP), from the return on."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)
        stat = Path(f"/proc/{self.process.pid}/stat")
        wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] in "TZ")
        self.frozen = True

    def resume(self) -> None:
        """End what `freeze` has begun."""
        assert self.process
        self.process.send_signal(signal.SIGCONT)
        self.frozen = False

    def heal(self) -> None:
        """Have it serve again, whatever was done to it."""
        if self.process is None:
            self.start()
        self.resume()
