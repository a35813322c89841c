"""That a reader never misses an entry without noticing: a model of streams, readers and faults."""

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from service.guard.cursor import Cursor, Position, Replay

MATTERS = 1000
"""Milliseconds in this model."""


def mark(ms: int, number: int, sequence: int = 0) -> Position:
    return Position(b"%d-%d" % (ms, sequence), number)


def after(stream: list[Position], position: bytes) -> list[Position]:
    """What XREAD gives."""

    def key(id_: bytes) -> tuple[int, ...]:
        return tuple(map(int, id_.split(b"-")))

    return [entry for entry in stream if key(entry.id) > key(position)]


class ModelReader:
    """What `reader.py` does with one stream, on lists instead of Redis."""

    def __init__(self) -> None:
        self.cursor = Cursor()
        self.known: set[Position] = set()
        self.incomplete_until = -1

    def confirm(self, stream: list[Position], now: int) -> None:
        found = after(stream, self.cursor.before_last)
        last = self.cursor.last
        if (last and (not found or found.pop(0) != last)) or not self.take(found):
            self.reread(stream, now)

    def tail(self, stream: list[Position], now: int) -> None:
        if not self.take(after(stream, self.cursor.position)):
            self.reread(stream, now)

    def take(self, found: list[Position]) -> bool:
        for entry in found:
            if not self.cursor.follow(entry):
                return False
            self.known.add(entry)
        return True

    def reread(self, stream: list[Position], now: int) -> None:
        rereading = Replay(self.cursor)
        for entry in stream:
            rereading.take(entry)
            self.known.add(entry)
        missing = rereading.missing_until(now)
        self.cursor = rereading.cursor
        if missing is not None:
            self.incomplete_until = max(self.incomplete_until, missing + MATTERS)


class Faults(RuleBasedStateMachine):
    """One stream and one reader, which may be away.

    Either somebody deletes entries by hand, or the server goes back in time: after both there may
    be nothing that tells.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 10_000
        self.stream: list[Position] = []
        self.counter = 0
        self.matter: set[Position] = set()
        self.by_hand = self.back_in_time = self.flushed = False
        self.connected = True
        self.reader = ModelReader()
        self.reader.confirm(self.stream, self.now)

    @rule(passes=st.sampled_from([1, 10, 300, 1500]))
    def time_passes(self, passes: int) -> None:
        self.now += passes

    @rule(trims=st.integers(0, 3), ahead=st.sampled_from([0, 0, 0, 20]))
    def a_session_ends(self, trims: int, ahead: int) -> None:
        """Another server's clock may be a little ahead; ids grow all the same."""
        self.counter += 1
        top = self.stream[-1].milliseconds if self.stream else 0
        entry = mark(max(self.now + ahead, top + 1), self.counter)
        self.stream.append(entry)
        self.matter.add(entry)
        old = sum(other.milliseconds <= self.now - MATTERS for other in self.stream)
        del self.stream[: min(trims, old - 1) if old else 0]

    @rule()
    def the_line_breaks(self) -> None:
        self.connected = False

    @precondition(lambda self: self.connected)
    @rule()
    def entries_arrive(self) -> None:
        self.reader.tail(self.stream, self.now)

    @rule()
    def the_reader_confirms(self) -> None:
        self.reader.confirm(self.stream, self.now)
        self.connected = True
        self.check()

    @precondition(lambda self: not self.back_in_time and len(self.stream) > 1)
    @rule(how_many=st.integers(1, 5))
    def trimmed_by_hand(self, how_many: int) -> None:
        """XTRIM past anybody's position; the newest stays, as something must tell of the rest."""
        self.by_hand = True
        del self.stream[: min(how_many, len(self.stream) - 1)]

    @precondition(lambda self: not self.back_in_time and len(self.stream) > 1)
    @rule(data=st.data())
    def deleted_by_hand(self, data: st.DataObject) -> None:
        """XDEL of any but the newest."""
        self.by_hand = True
        del self.stream[data.draw(st.integers(0, len(self.stream) - 2))]

    @precondition(lambda self: not self.by_hand and self.stream)
    @rule(how_many=st.integers(1, 30))
    def the_server_goes_back(self, how_many: int) -> None:
        """A cut append-only file, or a replica that was behind: what is lost never happened."""
        self.back_in_time = True
        self.connected = False
        lost = self.stream[-how_many:]
        del self.stream[-how_many:]
        self.counter -= len(lost)
        self.matter -= set(lost)

    @precondition(lambda self: not self.by_hand and self.reader.cursor.recent)
    @rule()
    def everything_is_flushed(self) -> None:
        """Who was logged out before still has a token: that must be known, or doubted."""
        self.back_in_time = self.flushed = True
        self.connected = False
        self.now = max([self.now, *(entry.milliseconds for entry in self.stream)]) + 1
        self.stream, self.counter = [], 0

    @precondition(lambda self: not self.flushed)
    @rule()
    def another_reader_begins(self) -> None:
        """It knows nothing of what was flushed, and cannot."""
        self.reader = ModelReader()
        self.the_reader_confirms()

    def check(self) -> None:
        missed = {
            entry
            for entry in self.matter - self.reader.known
            if entry.milliseconds > self.now - MATTERS
        }
        assert not missed or self.reader.incomplete_until > self.now, missed

    @invariant()
    def nothing_is_forgotten(self) -> None:
        assert set(self.reader.cursor.recent) <= self.reader.known


Faults.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestFaults = Faults.TestCase


def followed(*marks: Position) -> Cursor:
    cursor = Cursor()
    for one in marks:
        assert cursor.follow(one)
    return cursor


def missing(cursor: Cursor, *stream: Position) -> int | None:
    rereading = Replay(cursor)
    for one in stream:
        rereading.take(one)
    return rereading.missing_until(5000)


@pytest.mark.parametrize(
    ("id_", "before"),
    [(b"7-3", b"7-2"), (b"7-0", b"6-%d" % (2**64 - 1)), (b"10-0", b"9-%d" % (2**64 - 1))],
)
def test_the_place_before_an_entry(id_: bytes, before: bytes) -> None:
    """Reading after it gives the entry again, and nothing older."""
    assert followed(Position(id_, 1)).before_last == before


def test_numbers_must_be_consecutive() -> None:
    """From 1; then the next, neither a later nor an earlier one."""
    assert not Cursor().follow(mark(1, 2))
    cursor = followed(mark(1, 1), mark(2, 2))
    for number in (4, 2, 1, 0):
        assert not cursor.follow(mark(3, number))
    assert cursor.follow(mark(3, 3))
    assert cursor.position == b"3-0"


def test_a_beginner_doubts_what_is_older_than_the_first_entry() -> None:
    """Unless that is the first ever. Once it matters no more, the reader goes on undisturbed."""
    assert missing(Cursor(), mark(100, 1), mark(200, 2)) is None
    assert missing(Cursor(), mark(100, 7), mark(200, 8)) == 100
    assert missing(Cursor()) is None


def test_what_was_read_need_not_be_there() -> None:
    """From the newest common entry on; a number left out before it was seen, after it was not."""
    cursor = followed(*(mark(number, number) for number in range(1, 8)))
    assert missing(cursor, mark(3, 3), mark(7, 7), mark(8, 8)) is None
    assert missing(cursor, mark(7, 7), mark(8, 8), mark(10, 10), mark(11, 11)) == 10


def test_what_was_trimmed_past_the_trail_is_missing() -> None:
    """Also where the numbers go on, as our last entry should still be there."""
    cursor = followed(mark(1, 1))
    assert missing(cursor, mark(30, 3)) == 30
    assert missing(cursor, mark(30, 2)) == 30


def test_a_server_that_went_back_a_little_is_joined() -> None:
    """Numbers are given again, under other ids: they are read, and nothing is missing."""
    cursor = followed(*(mark(100 + number, number) for number in range(1, 10)))
    assert missing(cursor, mark(105, 5), mark(120, 6), mark(130, 7)) is None


def test_an_emptied_stream_is_lost() -> None:
    """Nothing is there, or it begins anew: whatever came in between is not known."""
    cursor = followed(mark(100, 1), mark(200, 2))
    for stream in ([], [mark(300, 1)]):
        rereading = Replay(cursor)
        for one in stream:
            rereading.take(one)
        assert rereading.replaced
        assert rereading.missing_until(5000) == (300 if stream else 5000)
    assert not Replay(Cursor()).replaced


def test_an_emptied_stream_goes_on() -> None:
    """With the next number, where entries were trimmed, or from 1, where the server was emptied."""
    for goes_on_with, follows in ((3, True), (1, True), (2, False), (4, False)):
        rereading = Replay(followed(mark(100, 1), mark(200, 2)))
        rereading.missing_until(5000)
        assert rereading.cursor.follow(mark(6000, goes_on_with)) == follows
        later = Replay(rereading.cursor) if follows else None
        assert later is None or rereading.cursor.follow(mark(6001, goes_on_with + 1))
    again = Replay(followed(mark(100, 1), mark(200, 2)))
    again.missing_until(5000)
    twice = Replay(again.cursor)  # still empty at the next look
    assert twice.missing_until(5000) is None
    assert twice.cursor.follow(mark(6000, 3))


def test_a_failover_may_forget_a_young_stream() -> None:
    """Not an older one, nor more than was there, nor where the server has nothing else left."""
    young, now = followed(mark(100_000, 1), mark(100_100, 2)), 130_000

    def verdict(cursor: Cursor, *stream: Position, others_are_whole: bool = True) -> int | None:
        rereading = Replay(cursor)
        for one in stream:
            rereading.take(one)
        return rereading.missing_until(now, others_are_whole=others_are_whole)

    assert verdict(young) is None
    assert verdict(young, mark(120_000, 1)) is None
    assert verdict(young, others_are_whole=False) == now
    assert verdict(young, mark(120_000, 1), mark(120_500, 3)) == 120_500
    assert verdict(young, mark(120_000, 4)) == 120_000
    assert verdict(followed(mark(60_000, 1)), mark(120_000, 1)) == 120_000
