"""Whether the service has compared what a server has since this guard has connected to it.

A server that was restored from an old copy looks whole to whoever has not read more of it before.
A pod of the service knows better: it takes the marks away of what has gone back, and writes that it
has looked (`redis/comparisons.py`). So what a guard finds at first it trusts once that was written
anew. Where it never was, no service does so, and none is waited for.
"""

from collections.abc import Sequence

from ..redis.keys import position_of
from .entries import RawEntry


class Comparison:
    """The comparisons of one server, as far as they are known since it was connected to."""

    def __init__(self) -> None:
        """Know of none yet."""
        self.is_made = False
        """Whether there was one since the first look, or none is to come."""
        self.position = b"0-0"
        """The id of the one that was there at the first look."""

    def look(self, entries: Sequence[RawEntry]) -> None:
        """Take all that the stream has."""
        if self.is_made:
            return
        newest = entries[-1][0] if entries else None
        if newest is None or (
            self.position != b"0-0" and position_of(newest) > position_of(self.position)
        ):
            self.is_made = True
        elif self.position == b"0-0":
            self.position = newest
