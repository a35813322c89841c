"""Cut-offs of a user: all sessions that were opened up to a time have ended, but for a few.

What a cut-off refuses is never let in again, so two cut-offs of one user become one that refuses
what either does. That does not depend on their order, nor on how often one is read.
"""

from collections.abc import Iterable, Mapping
from typing import Self

import msgspec

_NEVER = -1
"""Before any session was opened."""
_NONE: Mapping[bytes, int] = {}
_MOST_DIGITS = 16
"""More make no time and no number of an entry; and Python reads some thousands of them only."""


class CutOff(msgspec.Struct, frozen=True, gc=False):
    """A user's sessions that were opened at `at` or before have ended. Times in ms, by Redis."""

    at: int
    kept: Mapping[bytes, int] = _NONE
    """By session id, of those that stay: up to when an opening is cut off all the same."""

    @classmethod
    def keeping(cls, at: int, session_ids: Iterable[bytes]) -> Self:
        """Make the cut-off that an entry of the feed tells of."""
        return cls(at, dict.fromkeys(session_ids, _NEVER) or _NONE)

    def reaches(self, session_id: bytes) -> int:
        """Return up to when an opening of this session is cut off."""
        return self.kept.get(session_id, self.at)

    def joined(self, other: "CutOff") -> "CutOff":
        """Return the cut-off that ends what either ends."""
        at = max(self.at, other.at)
        reached = {
            session_id: max(self.reaches(session_id), other.reaches(session_id))
            for session_id in self.kept.keys() | other.kept.keys()
        }
        return CutOff(at, {sid: until for sid, until in reached.items() if until < at} or _NONE)


def whole_number(text: bytes) -> int | None:
    """Read a time or number as the service writes it to Redis; None: it is none."""
    return int(text) if text.isdigit() and len(text) <= _MOST_DIGITS else None
