"""The report of a guard (`redis/guard_position.py`), of which only what has moved is spelt anew."""

import time
from collections.abc import Callable, Collection, Sequence

import msgspec

from ..redis.guard_position import LAYOUT, NOTHING, WIDTH, About, packed_position
from .cursor import Position
from .stream import Stream

_YOUNG = 0.25
"""Seconds for which it is not looked at again what a guard says of itself, and at all streams."""


class Report:
    """How far some streams were read, and who says so."""

    def __init__(self, streams: Sequence[Stream], about: Callable[[], About]) -> None:
        """Say that nothing is known. `about` is asked for what the guard says of itself."""
        self._streams = streams
        self._about = about
        self._said = b""
        self._shown: list[Position | None] = [None] * len(streams)
        self._packed = bytearray(packed_position(NOTHING) * len(streams))
        self._looked = float("-inf")
        self.has_moved = True
        """Whether it says something else than when it was last packed."""

    def look(self, buckets: Collection[int] = ()) -> None:
        """Look at the streams of these buckets, and at all where that was not done just now.

        What was read of the others is no less true.
        """
        now = time.monotonic()
        if buckets and now - self._looked < _YOUNG:
            for each in buckets:
                self._look_at(each, now)
            return
        self._looked, self._said = now, msgspec.json.encode(self._about())
        for each in range(len(self._streams)):
            self._look_at(each, now)

    def packed(self) -> bytes:
        """Spell it."""
        self.has_moved = False
        return b"".join((LAYOUT, self._packed, self._said))

    def _look_at(self, place: int, now: float) -> None:
        """Look at one: where something is missing, or the mark, nothing is known."""
        stream = self._streams[place]
        known = stream.is_ours and now >= stream.incomplete_until
        last = stream.cursor.last if known else None
        if last is not self._shown[place]:
            self._shown[place], self.has_moved = last, True
            position = NOTHING if last is None else (last.number, last.milliseconds)
            self._packed[place * WIDTH : (place + 1) * WIDTH] = packed_position(position)
