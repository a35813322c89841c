"""The report of a guard (`redis/guard_position.py`), of which only what has moved is spelt anew."""

import time
from collections.abc import Callable, Sequence

import msgspec

from ..redis.guard_position import LAYOUT, NOTHING, WIDTH, About, packed_position
from .cursor import Position
from .stream import Stream

_YOUNG, _OLD = 0.25, 1.0
"""Seconds for which what the guard says of itself is good, and after which all streams are looked
at, also those that have not moved: time alone makes one whole again."""


class Report:
    """How far some streams were read, and who says so."""

    def __init__(self, streams: Sequence[Stream], about: Callable[[], About]) -> None:
        """Say that nothing is known. `about` is asked for what the guard says of itself."""
        self._streams = streams
        self._about = about
        self._said = b""
        self._shown: list[Position | None] = [None] * len(streams)
        self._packed = bytearray(packed_position(NOTHING) * len(streams))
        self._spelt = self._looked = float("-inf")
        self.has_moved = True
        """Whether it says something else than when it was last packed."""

    def look(self) -> None:
        """Look at each stream of which something was read, or is missing since the last look."""
        now = time.monotonic()
        if now - self._spelt >= _YOUNG:
            self._spelt, self._said = now, msgspec.json.encode(self._about())
        looks_at_all = now - self._looked >= _OLD
        if looks_at_all:
            self._looked = now
        for place, stream in enumerate(self._streams):
            if stream.has_moved or looks_at_all:
                stream.has_moved = False
                self._look_at(place, now)

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
