"""A writer of lines that never waits for whoever reads them.

A pipe whose reader has stopped takes 64 KiB and then blocks every writer. So lines go into a queue
of bounded size, which a thread of its own empties. What does not fit is dropped and counted; once
the reader reads again, a line in its place says how many lines there were.

The descriptor itself is left as it is: O_NONBLOCK would belong to the open file, and so to the
shell and all others that share it.
"""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

LIMIT = 2**19
"""Bytes that wait at most, for each of the two: some 2,000 lines of requests, besides the pipe."""

_GATHER = 0.05  # seconds after a write in which lines gather: a wake-up costs more than they do
_OVERHEAD = 64  # bytes of memory that a piece takes besides its own
_PIECE = 4096  # PIPE_BUF: up to here the lines of several processes on a pipe stay whole
_LONGEST_FLUSH = 2.0  # seconds for what is left at the end,
_LONGEST_STALL = 0.5  # as long as some of it is read in this time


class Writer:
    """Writes lines to a descriptor in their order, from a thread; `put` never waits."""

    def __init__(self, descriptor: int, notice: Callable[[int], bytes]) -> None:
        """Write nothing yet. `notice` makes the line that tells of so many dropped ones."""
        self._descriptor = descriptor
        self._notice = notice
        self._queue: deque[bytes | int] = deque()  # a number stands for so many dropped lines
        self._queued = 0  # bytes, with those that are being written
        self._full = False
        self._unsaid = 0
        self.dropped = 0
        self._idle = True
        # Reentrant: a collection of garbage inside may write a warning.
        self._lock = threading.RLock()
        self._wakeup = threading.Lock()
        self._wakeup.acquire()
        self._pause = threading.Event()  # never set; unlike `sleep` it bears a clock that is faked
        threading.Thread(target=self._run, name="output", daemon=True).start()

    def put(self, lines: bytes) -> None:
        """Queue one line or several, each with its line feed, or drop them."""
        size = len(lines) + _OVERHEAD
        with self._lock:
            # Once full it stays so until half is gone: one gap, told once, instead of many.
            if self._queued + size > (LIMIT // 2 if self._full else LIMIT):
                self._full = True
                self._drop(lines.count(b"\n"))
                return
            self._full = False
            self._say_what_was_dropped()
            self._queue.append(lines)
            self._queued += size
            self._wake()

    def flush(self) -> bool:
        """Wait until all is written, within the limits above. Return whether it was."""
        began = moved = time.monotonic()
        left = self._queued
        while self._queued:
            now = time.monotonic()
            if self._queued < left:
                left, moved = self._queued, now
            if now - began > _LONGEST_FLUSH or now - moved > _LONGEST_STALL:
                return False
            self._pause.wait(0.005)
        return True

    def _drop(self, lines: int) -> None:
        self._unsaid += lines
        self.dropped += lines

    def _say_what_was_dropped(self) -> None:
        if self._unsaid:
            self._queue.append(self._unsaid)
            self._queued += _OVERHEAD
            self._unsaid = 0

    def _wake(self) -> None:
        if self._idle:
            self._idle = False
            self._wakeup.release()

    def _run(self) -> None:
        while True:
            self._wakeup.acquire()
            while pieces := self._next():
                self._write_all(pieces)
            self._pause.wait(_GATHER)

    def _next(self) -> list[bytes | int]:
        """Take what is written next, up to about a piece; nothing, and the thread is idle."""
        pieces: list[bytes | int] = []
        size = 0
        with self._lock:
            while self._queue and size < _PIECE:
                piece = self._queue.popleft()
                pieces.append(piece)
                size += len(piece) if isinstance(piece, bytes) else 0
            self._idle = not pieces
        return pieces

    def _write_all(self, pieces: list[bytes | int]) -> None:
        text = b"".join(p if isinstance(p, bytes) else self._notice(p) for p in pieces)
        lost = sum(piece for piece in pieces if isinstance(piece, int))
        try:
            while text:
                end = text.rfind(b"\n", 0, _PIECE) + 1 or text.find(b"\n") + 1 or len(text)
                self._write(text[:end])
                text, lost = text[end:], 0
        except Exception:  # closed, no room on the disk, or worse: later lines may find some again
            said = sum(isinstance(piece, int) for piece in pieces) if lost else 0
            with self._lock:
                self._unsaid += lost
                self._drop(max(0, text.count(b"\n") - said))
        size = sum((len(p) if isinstance(p, bytes) else 0) + _OVERHEAD for p in pieces)
        with self._lock:
            self._queued -= size
            if not text and not self._queued and self._unsaid:  # it reads again
                self._full = False
                self._say_what_was_dropped()

    def _write(self, line: bytes) -> None:
        while line:
            try:
                line = line[os.write(self._descriptor, line) :]
            except BlockingIOError:  # whoever started us has made it so
                select.select([], [self._descriptor], [])
