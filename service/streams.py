"""Standard output and error of a process that must not wait for whoever reads them.

A pipe whose reader has stopped takes 64 KiB and then blocks every writer. So what a process says
goes into a queue of bounded size, which a thread of its own empties. What does not fit is dropped
and counted; once the reader reads again, a line in its place says how many lines there were.

The descriptor itself is left as it is: O_NONBLOCK would belong to the open file, and so to the
shell and all others that share it.
"""

import atexit
import io
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TextIO

LIMIT = 2**19
"""Bytes that wait at most, for each of the two: some 2,000 lines of requests, besides the pipe."""

_GATHER = 0.05  # seconds after a write in which lines gather: a wake-up costs more than they do
_OVERHEAD = 64  # bytes of memory that a piece takes besides its own
_PIECE = 4096  # PIPE_BUF: up to here the lines of several processes on a pipe stay whole
_LONGEST_FLUSH = 2.0  # seconds for what is left at the end,
_LONGEST_STALL = 0.5  # as long as some of it is read in this time

_writers: list["Writer"] = []


def dropped() -> int:
    """How many lines this process has dropped since it began."""
    return sum(writer.dropped for writer in _writers)


class Writer:
    """Writes lines to a descriptor in their order, from a thread; `put` never waits."""

    def __init__(self, descriptor: int, notice: Callable[[int], bytes]) -> None:
        """`notice` makes the line that tells of so many dropped ones."""
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
        self._bell = threading.Lock()
        self._bell.acquire()
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
        """Wait until all is written, not longer than the limits above. Whether it was."""
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
            self._bell.release()

    def _run(self) -> None:
        while True:
            self._bell.acquire()
            while pieces := self._next():
                self._write_all(pieces)
            self._pause.wait(_GATHER)

    def _next(self) -> list[bytes | int]:
        """What is written next, up to about a piece; nothing, and the thread is idle."""
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


class _Bytes:
    """The `buffer` of a stream: takes whole lines."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def write(self, lines: bytes) -> int:
        self._writer.put(lines)
        return len(lines)

    def flush(self) -> None:
        """Do nothing: `write` has passed it on."""


class _Replacement(io.TextIOBase):
    """What all that stands in the place of a stream takes over from it."""

    _replaced: TextIO

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._replaced.encoding or "utf-8"

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._replaced.isatty()

    def fileno(self) -> int:
        return self._replaced.fileno()


class Stream(_Replacement):
    """In place of `sys.stdout` or `sys.stderr`. What it cannot spell is escaped."""

    def __init__(self, writer: Writer, replaced: TextIO) -> None:
        self.writer = writer
        self._replaced = replaced
        self._begun = threading.local()  # of a line: each thread its own
        self.buffer = _Bytes(writer)

    def write(self, text: str) -> int:
        whole, newline, rest = (getattr(self._begun, "line", "") + text).rpartition("\n")
        self._begun.line = rest
        if newline:
            self.writer.put((whole + newline).encode(self.encoding, "backslashreplace"))
        return len(text)

    def flush(self) -> None:
        if rest := getattr(self._begun, "line", ""):
            self._begun.line = ""
            self.writer.put(rest.encode(self.encoding, "backslashreplace"))


def open_closed() -> None:
    """Put /dev/null in the place of a standard descriptor that is closed.

    The next file or socket that is opened would get its number, and what is meant for the log.
    To be called before anything else is opened.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this
            os.set_inheritable(number, True)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(number, "w" if number else "r", closefd=False)  # noqa: SIM115 - stays
            setattr(sys, name, stream)
        if number and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a path may hold what ASCII does not


class _Lossy(_Replacement):
    """In place of `sys.stdout` or `sys.stderr`: goes on where a write fails; keeps why."""

    def __init__(self, replaced: TextIO, failures: list[OSError]) -> None:
        self._replaced = replaced
        self._failures = failures

    def write(self, text: str) -> int:
        with self._noting():
            self._replaced.write(text)
        return len(text)

    def flush(self) -> None:
        with self._noting():
            self._replaced.flush()

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._failures.append(error)
            # What its buffer holds would fail once more at the end of the process.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._replaced.fileno())
            os.close(null)


@contextmanager
def losing_what_nobody_reads() -> Iterator[list[OSError]]:
    """Let no print in the block end what it does: a reader may have gone, a disk may be full.

    The list has the errors that there were, once the block has ended.
    """
    failures: list[OSError] = []
    before = {name: getattr(sys, name) for name in ("stdout", "stderr")}
    ours = {name: _Lossy(stream, failures) for name, stream in before.items()}
    for name, stream in ours.items():
        setattr(sys, name, stream)
    try:
        yield failures
    finally:
        for name, stream in ours.items():
            stream.flush()
            if getattr(sys, name) is stream:
                setattr(sys, name, before[name])


def never_wait() -> None:
    """Have all that this process writes to standard output and error go through a `Writer`.

    At an orderly end, and at one by an exception, what waits is written as far as it is read.
    """
    if isinstance(sys.stdout, Stream):
        return
    for name, number in (("stdout", 1), ("stderr", 2)):
        replaced = getattr(sys, name)
        with suppress(OSError, ValueError):
            replaced.flush()
        if not _writers or not os.path.sameopenfile(1, 2):  # for the same file one keeps the order
            _writers.append(Writer(number, _NOTICES[number]))
        writer = _writers[-1]
        setattr(sys, name, Stream(writer, replaced))
    atexit.register(flush)


def flush() -> None:
    """Write what waits, as far as it is read."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Stream):
            stream.flush()  # what has no line feed yet
    for writer in _writers:
        writer.flush()


def _as_json(lines: int) -> bytes:
    time_ = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return (
        f'{{"event":"log lines dropped: {lines}","dropped":{lines},'
        f'"level":"warning","time":"{time_}"}}\n'
    ).encode()


_NOTICES = {
    1: _as_json,
    2: lambda lines: f"openshow-auth: log lines dropped: {lines}\n".encode(),
}
