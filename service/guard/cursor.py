"""The cursor of a stream's reader, which tells whether it has missed anything. Pure: no clock, no
Redis.

Entries have consecutive numbers from 1 (`redis/keys.py`). A cursor remembers the last few that
were read. While a connection lasts, the next entry must have the next number. After each one, and
every now and then, the last one must still be there.

Where either is not so, the stream is read again from its beginning, by a `Replay`. The newest
entry that stream and cursor have in common joins them: up to there all was seen. Without one,
something older than the first entry may be missing, which matters for as long as that first entry
does. From there on a number that is left out means the same.

What is missing may come back. A service that finds Redis gone back in time writes again what was
lost, with the ids and numbers that it had, or cuts off everybody in the bucket. So a reader
remembers the newest entry up to which it has missed nothing. Once that is there again, or a
cut-off of everybody is, nothing before it is missing any more.
"""

from collections import deque

import msgspec

_RECENT = 16
"""Entries that are remembered: a server that has lost more of a stream's end counts as emptied."""
_LAST_SEQUENCE = 2**64 - 1
_LOST_BY_FAILOVER = 60_000
"""Milliseconds of writes that may be lost, at most, with a primary that nobody reached."""


class Position(msgspec.Struct, frozen=True, gc=False):
    """An entry, without what it says. `id` as Redis spells it: `<ms since 1970>-<sequence>`."""

    id: bytes
    number: int

    @property
    def milliseconds(self) -> int:
        """When it was added, by the server's clock."""
        return int(self.id.partition(b"-")[0])


class Cursor:
    """Where a reader stands in one stream."""

    __slots__ = ("expected", "recent")

    def __init__(self) -> None:
        self.recent: deque[Position] = deque(maxlen=_RECENT)
        self.expected: tuple[int, ...] = (1,)
        """The numbers that the next entry may have."""

    def follow(self, entry: Position) -> bool:
        """Take the next entry. False, and nothing taken: it is not the one that comes next."""
        if entry.number not in self.expected:
            return False
        self.recent.append(entry)
        self.expected = (entry.number + 1,)
        return True

    @property
    def last(self) -> Position | None:
        """The newest entry that was read."""
        return self.recent[-1] if self.recent else None

    @property
    def position(self) -> bytes:
        """Reading after this id gives what is new."""
        return self.recent[-1].id if self.recent else b"0-0"

    @property
    def before_last(self) -> bytes:
        """Reading after this id gives the last entry again, and what is new."""
        if not self.recent:
            return b"0-0"
        milliseconds, _, sequence = self.recent[-1].id.partition(b"-")
        if int(sequence):
            return b"%s-%d" % (milliseconds, int(sequence) - 1)
        return b"%d-%d" % (int(milliseconds) - 1, _LAST_SEQUENCE)


class Replay:
    """A stream that is read again from its beginning, judged against a cursor."""

    def __init__(self, cursor: Cursor, whole_until: Position | None = None) -> None:
        """Judge against `cursor`, which has missed something since `whole_until`, if given."""
        self._before = cursor
        self._known = set(cursor.recent)
        self._whole_until = whole_until or cursor.last
        self.joined = False
        """Whether stream and cursor have something in common."""
        self.is_mended = False
        """Whether nothing is missing, and of what was missing before nothing either."""
        self._first: Position | None = None
        self._gap: Position | None = None
        self._everybody = False
        self.cursor = Cursor()
        """The cursor from now on, once all was taken."""

    def take(self, entry: Position, *, ends_everybody: bool = False) -> None:
        """Take the next entry. `ends_everybody`: it ends all that was opened before, and is new."""
        if self._first is None:
            self._first = entry
        elif entry.number not in self.cursor.expected:
            self._gap, self.is_mended = entry, False
        if entry in self._known:
            self.joined, self._gap = True, None
        if entry == self._whole_until or ends_everybody:
            self._gap, self.is_mended = None, True
        self._everybody = self._everybody or ends_everybody
        self.cursor.recent.append(entry)
        self.cursor.expected = (entry.number + 1,)

    @property
    def replaced(self) -> bool:
        """Whether this is another past than the one that was read: the server's data were lost."""
        last = self._before.last
        if last is None or self.joined or self._everybody:
            return False
        # Redis itself leaves the newest entry, however old it is.
        return self._first is None or self._first.number <= last.number

    def missing_until(self, now: int, *, others_are_whole: bool = False) -> int | None:
        """Return when whatever may be missing had been added at the latest, ms; None: nothing is.

        `now`: ms since 1970. `others_are_whole`: the server has kept what was read of other
        streams, so it was not emptied. To be called when all was taken.
        """
        if self._first is None:
            self.cursor.expected = tuple({1, *self._before.expected})
        if self._gap or self.joined or self._everybody:
            return self._gap.milliseconds if self._gap else None
        if self.replaced:
            if others_are_whole and self._is_young(now):
                return None
            return self._first.milliseconds if self._first and self._begins_anew else now
        if self._first is None or (not self._known and self._first.number in self._before.expected):
            return None
        return self._first.milliseconds

    @property
    def _begins_anew(self) -> bool:
        """Whether all that is there was added after what was read."""
        last = self._before.last
        return bool(self._first and last and self._first.milliseconds > last.milliseconds)

    def _is_young(self, now: int) -> bool:
        """Tell whether all that ever was in the stream is so new that a failover may lose it."""
        oldest = self._before.recent[0]
        return oldest.number == 1 and now - oldest.milliseconds < _LOST_BY_FAILOVER
