"""That a stream of which something is missing is whole as soon as nothing is, and not before."""

import time

from service.guard.cursor import Position
from service.guard.entries import BucketCutOff, Entry, UnknownKind
from service.guard.revocations import Shard
from service.guard.stream import Stream

NOW = round(time.time() * 1000)
LIFE = 960.0
AT = 1_800_000_000_000
"""A time of a cut-off, ms."""


def new_stream() -> Stream:
    now = time.monotonic()
    return Stream(0, Shard(LIFE, now + LIFE), lambda *_: None)


def end(number: int, ago: int) -> Entry:
    return Position(b"%d-0" % (NOW - ago), number), b"%012d" % number


def everybody(number: int, ago: int, at: int = AT) -> Entry:
    return Position(b"%d-0" % (NOW - ago), number), BucketCutOff(at)


def reread(stream: Stream, *entries: Entry, others_are_whole: bool = True) -> bool:
    """What `FeedReader` does: judge the stream anew, and note all that it says."""
    replay = stream.replay()
    for entry in entries:
        replay.take(entry[0], ends_everybody=stream.ends_everybody(entry))
        stream.note(entry)
    return stream.rejoin(replay, others_are_whole=others_are_whole)


LOST = [end(number, ago=200_000 - number) for number in range(1, 40)]
"""What a guard had read when the server went back."""


def read_in() -> Stream:
    stream = new_stream()
    assert stream.take(LOST)
    return stream


def emptied() -> Stream:
    """One whose server has lost it."""
    stream = read_in()
    assert not reread(stream)
    assert stream.is_incomplete
    return stream


def test_whole_with_the_last_entry_that_was_known() -> None:
    """Emptied and written again, in one go or bit by bit: whole with the last one, not before."""
    stream = emptied()
    assert reread(stream, *LOST, end(40, ago=100_000))
    assert not stream.is_incomplete
    stream = emptied()
    reread(stream, *LOST[20:30])
    assert stream.is_incomplete
    assert stream.take(LOST[30:38])
    assert stream.is_incomplete
    assert stream.take(LOST[38:])
    assert not stream.is_incomplete
    assert stream.take([end(40, ago=100_000)])


def test_another_entry_of_its_number_is_not_the_one() -> None:
    """Somebody else's past does not make it whole."""
    stream = emptied()
    others = [end(number, ago=100_000 - number) for number in range(1, 60)]
    reread(stream, *others)
    assert stream.is_incomplete


def test_a_server_that_went_back_further_than_is_remembered() -> None:
    """What came after its last entry is missing, however old its first is; until it is back."""
    stream = new_stream()
    past = [end(number, ago=2_000_000 - number) for number in range(1, 40)]
    assert stream.take(past)
    assert not reread(stream, *past[:20])
    assert stream.incomplete_until > time.monotonic() + LIFE - 5
    assert stream.take(past[20:])
    assert not stream.is_incomplete


def test_a_cut_off_of_everybody() -> None:
    """Whatever is missing before it has ended, read again or as it comes, also by itself."""
    stream = emptied()
    assert reread(stream, everybody(77, ago=0))
    assert not stream.is_incomplete
    stream = emptied()
    reread(stream, *LOST[:5])
    assert stream.take([everybody(6, ago=0)])
    assert not stream.is_incomplete


def test_one_that_was_known_before_mends_nothing() -> None:
    """It says nothing of what was lost since."""
    stream = new_stream()
    past = [everybody(1, ago=300_000), *(end(number, 200_000 - number) for number in range(2, 40))]
    assert stream.take(past)
    assert not reread(stream, *past[:20])
    assert stream.is_incomplete
    reread(stream, *past[:20])
    assert stream.is_incomplete


def test_a_hole_after_it_is_one() -> None:
    """Also where it was read in the same go."""
    stream = new_stream()
    assert not reread(stream, everybody(1, ago=5_000), end(3, ago=4_000))
    assert stream.is_incomplete


def test_a_reading_that_breaks_off_leaves_the_next_to_judge() -> None:
    """What was noted by then is not taken for known: the line broke before the end."""
    stream = emptied()
    cut_off = everybody(77, ago=0)
    stream.note(cut_off)  # and no more was read
    assert stream.is_incomplete
    assert reread(stream, cut_off)
    assert not stream.is_incomplete


def test_what_an_unknown_kind_has_ended() -> None:
    """A later cut-off of everybody ends it for sure, in whatever order they are told again."""
    unknown = Position(b"%d-0" % (NOW - 5_000), 1), UnknownKind("x")
    stream = new_stream()
    assert stream.take([unknown])
    assert stream.is_incomplete
    assert stream.take([everybody(2, ago=4_000)])
    assert not stream.is_incomplete
    stream.note(unknown)
    assert not stream.is_incomplete
    assert stream.take([(Position(b"%d-0" % (NOW - 3_000), 3), UnknownKind("x"))])
    stream.note(everybody(2, ago=4_000))
    assert stream.is_incomplete
