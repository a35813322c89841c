"""Output through a bounded queue: nobody waits for its reader, and every line is accounted for."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from tools.testbed.waiting import wait_until

from service import streams
from service.line_writer import LIMIT, Writer
from service.streams import Stream
from tests.support.run_queue import Stopwatch

LINE = 200  # bytes


class Pipe:
    """A pipe that is read when a test wants it."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.text = b""

    def read(self) -> bytes:
        """All that there is, and what was read before."""
        os.set_blocking(self.reader, False)
        with suppress(BlockingIOError):
            while more := os.read(self.reader, 65_536):
                self.text += more
        return self.text


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    with suppress(OSError):
        os.close(pipe.reader)


def notice(lines: int) -> bytes:
    return b"dropped: %d\n" % lines


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"%d ".ljust(LINE, b"x") % n + b"\n" for n in range(start, start + count)]


def test_nobody_waits_and_every_line_is_accounted_for(pipe: Pipe) -> None:
    """Unread, it takes a bounded number of lines, drops the rest, and says how many there were."""
    writer = Writer(pipe.writer, notice)
    count = 5 * LIMIT // LINE
    began = time.monotonic()
    for line in numbered(count):
        writer.put(line)
    assert time.monotonic() - began < 10  # a blocked one would take for ever
    assert writer._queued <= LIMIT
    wait_until(lambda: b"dropped" in pipe.read())
    writer.put(b"after\n")
    wait_until(lambda: pipe.read().endswith(b"after\n"))
    *kept, said, after = pipe.text.splitlines()
    assert [int(line.split()[0]) for line in kept] == list(range(len(kept)))
    assert said == b"dropped: %d" % (count - len(kept))
    assert writer.dropped == count - len(kept) > 0
    assert after == b"after"


def test_lines_of_one_write_are_never_torn(pipe: Pipe) -> None:
    """Each write ends with a line and fits PIPE_BUF, so that other writers come between lines."""
    writes: list[bytes] = []
    writer = Writer(pipe.writer, notice)
    writer._write = writes.append  # type: ignore[method-assign]
    writer.put(b"".join(numbered(300)))
    writer.put(b"x" * 9000 + b"\n")  # cannot be helped, but stands alone
    assert writer.flush()
    assert b"".join(writes) == b"".join(numbered(300)) + b"x" * 9000 + b"\n"
    assert all(write.endswith(b"\n") for write in writes)
    assert [len(write) for write in writes if len(write) > 4096] == [9001]


def test_an_orderly_end_loses_nothing(pipe: Pipe) -> None:
    """What is read is waited for; what nobody reads, not for long."""
    writer = Writer(pipe.writer, notice)
    writer.put(b"last words\n")
    assert writer.flush()
    assert pipe.read() == b"last words\n"
    for line in numbered(1000):
        writer.put(line)
    since = Stopwatch()
    assert not writer.flush()
    assert since.own < 4
    pipe.read()


def test_a_reader_that_is_gone_stops_nobody(pipe: Pipe) -> None:
    """A closed pipe: its lines are counted, and memory does not grow."""
    writer = Writer(pipe.writer, notice)
    os.close(pipe.reader)
    for line in numbered(10):
        writer.put(line)
    assert writer.flush()
    assert writer.dropped == 10


def test_a_descriptor_that_does_not_block_is_waited_for(pipe: Pipe) -> None:
    """Whoever has started us may have set O_NONBLOCK: nothing is lost, and we do not set it."""
    assert os.get_blocking(pipe.writer)
    os.set_blocking(pipe.writer, False)
    writer = Writer(pipe.writer, notice)
    lines = numbered(1500)
    for line in lines:
        writer.put(line)
    wait_until(lambda: len(pipe.read()) == len(b"".join(lines)))
    assert pipe.text == b"".join(lines)


def test_text_that_cannot_be_spelt_is_escaped(pipe: Pipe) -> None:
    """An ASCII terminal and a path of another encoding: no error; lines stay whole."""
    with open(os.devnull, "w", encoding="ascii") as replaced:
        stream = Stream(Writer(pipe.writer, notice), replaced)
        print("vär", "\udce9", "end", file=stream)
        print("no line feed", end="", file=stream)
        stream.flush()
        assert stream.writer.flush()
    assert pipe.read() == b"v\\xe4r \\udce9 end\nno line feed"


def test_the_notices_are_lines_of_their_streams() -> None:
    """JSON in the log, a plain line on standard error."""
    assert re.fullmatch(
        rb'\{"event":"log lines dropped: 7","dropped":7,"level":"warning","time":".*Z"\}\n',
        streams._NOTICES[1](7),
    )
    assert streams._NOTICES[2](7) == b"openshow-auth: log lines dropped: 7\n"
