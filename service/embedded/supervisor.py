"""Supervision of the embedded server: restarted when it ends, ended when it hangs."""

import logging
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from service.embedded.health import end, watch_for_hangs
from service.errors import StartupError

logger = logging.getLogger(__name__)

_LONGEST_PAUSE = 5.0  # seconds between two tries to start it again


class Supervisor:
    """Looks after one server, in two threads, from `start` to `stop`."""

    def __init__(
        self,
        launch: Callable[[], None],
        current: Callable[[], "subprocess.Popen[bytes] | None"],
        last_log_line: Callable[[], str],
        socket: Path,
    ) -> None:
        """Start nothing yet. `launch` starts the process that `current` then returns."""
        self._launch = launch
        self._current = current
        self._last_log_line = last_log_line
        self._socket = socket
        self._stopping = threading.Event()
        self._launching = threading.Lock()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Look after the server, which has been launched."""
        self._threads = [
            threading.Thread(target=self._for_ever, args=(work,), name=name, daemon=True)
            for name, work in (
                ("valkey-restarts", self._restart_when_ended),
                ("valkey-hangs", self._end_when_hung),
            )
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the server, if it runs, launch it no more, and wait for the threads."""
        self._stopping.set()
        with self._launching:  # so that none is launched behind our back
            process = self._current()
            if process is not None and process.poll() is None:
                end(process)
        for thread in self._threads:
            thread.join()

    def _for_ever(self, work: Callable[[], None]) -> None:
        """Do `work` until `stop`, whatever becomes of it."""
        while not self._stopping.is_set():
            try:
                work()
            except Exception:  # nobody foresaw it; the server must be looked after all the same
                logger.exception("looking after the embedded Valkey failed; going on with it")
                self._stopping.wait(_LONGEST_PAUSE)

    def _restart_when_ended(self) -> None:
        """Restart the server whenever it ends; wait longer, up to 5 s, when it ends at once."""
        pause = 0.1
        while not self._stopping.is_set():
            launched = time.monotonic()
            status = process.wait() if (process := self._current()) is not None else 0
            if self._stopping.is_set():
                return
            pause = 0.1 if time.monotonic() - launched > 30 else min(pause * 2, _LONGEST_PAUSE)
            cause = f"signal {-status}" if status < 0 else f"exit code {status}"
            logger.error(
                "embedded Valkey died (%s): %s; restarting it", cause, self._last_log_line()
            )
            while not self._restarted(pause):
                pause = min(pause * 2, _LONGEST_PAUSE)

    def _restarted(self, pause: float) -> bool:
        """Launch it again after a pause, unless it is to stop. Return whether it was launched."""
        self._stopping.wait(pause)
        with self._launching:
            if self._stopping.is_set():
                return True
            try:
                self._launch()
            except (StartupError, OSError) as error:  # no descriptor, no directory: for the moment
                logger.error("the embedded Valkey cannot be restarted yet: %s", error)
                return False
        return True

    def _end_when_hung(self) -> None:
        """End a server that hangs, so that another is launched."""
        watch_for_hangs(self._socket, self._current, self._stopping)
