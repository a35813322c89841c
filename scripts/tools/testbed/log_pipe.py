"""Where a process logs to: a pipe that is read into a file, by a reader who can stop reading."""

import fcntl
import os
import select
import threading
from pathlib import Path
from typing import IO

_CAPACITY = 4096
"""Bytes that the pipe holds, the least that there is: some 15 lines fill it."""


class LogPipe:
    """Reads what one process after another writes, each into the file anew."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._reading = threading.Event()
        self._reading.set()
        self._thread: threading.Thread | None = None

    def open(self) -> IO[bytes]:
        """Open the end to write to, for a process that is to be started. What is read ends when all
        who have it have closed it."""
        if self._thread is not None:  # it may not have read to the end of the one before
            self._thread.join(timeout=5)
        read, write = os.pipe()
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, _CAPACITY)
        log = self._file.open("wb", buffering=0)
        self._thread = threading.Thread(target=self._read, args=(read, log), daemon=True)
        self._thread.start()
        return os.fdopen(write, "wb")

    def stop_reading(self) -> None:
        """Let the pipe fill: whoever writes to it waits, or looks after itself."""
        self._reading.clear()

    def read_on(self) -> None:
        """End what `stop_reading` has begun."""
        self._reading.set()

    def _read(self, descriptor: int, log: IO[bytes]) -> None:
        with log, os.fdopen(descriptor, "rb", buffering=0) as pipe:
            while True:
                select.select([pipe], [], [])
                self._reading.wait()
                lines = pipe.read(_CAPACITY)
                if not lines:
                    return
                log.write(lines)
