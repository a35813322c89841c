"""Standard output and error of a process that must not wait for whoever reads them.

What a process says goes to a `Writer`, in whole lines. Commands that end by themselves print as
usual, but go on where nobody reads it.
"""

import atexit
import functools
import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TextIO

from service.line_writer import Writer

_writers: list[Writer] = []


def dropped() -> int:
    """Count the lines that this process has dropped since it began."""
    return sum(writer.dropped for writer in _writers)


class _Bytes:
    """The `buffer` of a stream, which takes whole lines."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def write(self, lines: bytes) -> int:
        self._writer.put(lines)
        return len(lines)

    def flush(self) -> None:
        """Do nothing: `write` has passed it on."""


class _Replacement(io.TextIOBase):
    """The base of streams that replace one of the process, and take over its attributes."""

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
    """Replaces `sys.stdout` or `sys.stderr`, and never waits. What it cannot spell is escaped."""

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
    """Open /dev/null in the place of a standard descriptor that is closed.

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
    """Replaces `sys.stdout` or `sys.stderr`: goes on where a write fails, and keeps the error."""

    def __init__(self, replaced: TextIO, failures: list[OSError]) -> None:
        self._replaced = replaced
        self._failures = failures
        self.failed = False
        """Whether what is printed goes nowhere any more."""

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
            self.failed = True
            # What its buffer holds would fail once more at the end of the process.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._replaced.fileno())
            os.close(null)


@contextmanager
def ignoring_output_errors() -> Iterator[list[OSError]]:
    """Ignore errors of printing in the block: a reader may have gone, a disk may be full.

    Yields a list that has the errors there were, once the block has ended.
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


def write_without_blocking() -> None:
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
            _writers.append(Writer(number, functools.partial(_notice, number)))
        writer = _writers[-1]
        setattr(sys, name, Stream(writer, replaced))
    atexit.register(flush)


def flush() -> None:
    """Write what is queued, as far as somebody reads it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Stream):
            stream.flush()  # what has no line feed yet
    for writer in _writers:
        writer.flush()


def say_of_dropped_lines(notice: Callable[[int], bytes]) -> None:
    """Have `notice` spell the line on standard output that tells of so many dropped ones."""
    _NOTICES[1] = notice


def _notice(number: int, lines: int) -> bytes:
    return _NOTICES[number](lines)


def _as_json(lines: int) -> bytes:
    time_ = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return (
        f'{{"event":"log lines dropped: {lines}","dropped":{lines},'
        f'"level":"warning","time":"{time_}"}}\n'
    ).encode()


_NOTICES: dict[int, Callable[[int], bytes]] = {
    1: _as_json,
    2: lambda lines: f"openshow-auth: log lines dropped: {lines}\n".encode(),
}
