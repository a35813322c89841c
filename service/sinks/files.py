"""The sink that appends lines of JSON to a file, or writes them to standard output.

The events of a batch, then the batch itself, which has the key `batch`. On disk before it counts.
"""

import asyncio
import os
import select
from datetime import timedelta
from pathlib import Path

import msgspec

from service.sinks.batch import Batch
from service.sinks.sink import Retries, SinkFailed

STDOUT = "-"

_PATIENCE = 2.0
"""Seconds that a line waits for somebody who reads standard output."""


class FileSink:
    """Appends to a file that only its owner can read. `-` is standard output."""

    name = "file"
    starts_behind = "0-0"
    at_once = 200
    retries = Retries(timedelta(seconds=1), timedelta(minutes=1))

    def __init__(self, path: Path) -> None:
        """Open nothing yet."""
        self._path = path
        self._lock = asyncio.Lock()
        self._file: int | None = None

    async def deliver(self, batch: Batch, seconds: float) -> int:
        """Append it whole."""
        lines = [*batch.lines, msgspec.json.encode(batch.head)]
        async with self._lock:  # one after the other: a batch stands in one piece
            writing = asyncio.create_task(asyncio.to_thread(self._write, lines))
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                await asyncio.wait([writing])  # the thread goes on, and its file must stay open
                raise
            except OSError as error:
                await self._close()
                raise SinkFailed(error.strerror or type(error).__name__) from None
        return len(batch.events)

    async def aclose(self) -> None:
        """Close the file."""
        async with self._lock:
            await self._close()

    async def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, lines: list[bytes]) -> None:
        if str(self._path) == STDOUT:
            for line in lines:  # a line at a time: short enough that a pipe takes it in one piece
                if not select.select([], [1], [], _PATIENCE)[1]:
                    raise TimeoutError("nobody reads standard output")
                _write_all(1, line + b"\n")
            return
        file = self._opened()
        # One write, since other workers append to it, too. What is cut short gets a line feed when
        # the file is opened again, and comes again whole.
        _write_all(file, b"".join(line + b"\n" for line in lines))
        os.fsync(file)

    def _opened(self) -> int:
        """Open the file, anew after a rename; after a crash within a line, begin a new one."""
        if self._file is not None and not _is_at(self._file, self._path):
            os.close(self._file)
            self._file = None
        if self._file is None:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            file = os.open(self._path, flags, 0o600)
            self._file = file
            size = os.fstat(file).st_size
            if size and os.pread(file, 1, size - 1) != b"\n":
                _write_all(file, b"\n")
        return self._file


def _is_at(file: int, path: Path) -> bool:
    try:
        there = os.stat(path)
    except OSError:
        return False
    return os.path.samestat(there, os.fstat(file))


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
