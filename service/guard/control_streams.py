"""The streams beside the feed: heartbeats and comparisons of the service, and its wish to be told
where guards are.

They are apart from the feed, so that a guard that does not know them misses nothing.

A heartbeat is written through a primary that has just had the acknowledgement of its replicas. So a
server that has been replaced, and is cut off together with a guard, has no new ones, and the guard
notices. Where a server has no heartbeat at all, none are written and none are demanded.
"""

from collections import deque
from collections.abc import Callable, MutableMapping, Sequence
from math import inf

from ..redis.keys import numbered
from .comparison import Comparison
from .cut_offs import whole_number
from .entries import RawEntry
from .wishes import Wishes

_SEEN = 64
_MISSED = 3
"""Heartbeats that may be missing, however short the bound is."""
_EVERY = b"every"

Found = MutableMapping[bytes, Sequence[RawEntry]]


class ControlStreams:
    """The streams of control of one server, as far as they were read. Times are monotonic."""

    def __init__(
        self, bucket: int, bound: float, on_asked: Callable[[float], object] | None
    ) -> None:
        """Read nothing yet.

        `on_asked` hears how many seconds to leave between two answers; None: wishes are heard
        elsewhere.
        """
        names = numbered(bucket)
        self._beat, self._asked, self._compared = names.beat, names.asked, names.compared
        self.keys = [names.beat, names.compared, *([names.asked] if on_asked else ())]
        self._bound = bound
        self._on_asked = on_asked
        self._wishes = Wishes()
        self._seen: deque[bytes] = deque(maxlen=_SEEN)
        self._looked = inf
        self._alive_until = inf
        self.await_comparison()

    def await_comparison(self) -> None:
        """Trust nothing until the next one: the server may be another, or have been restored."""
        self._comparison = Comparison()
        self._compared_at: bytes | None = None

    @property
    def is_compared(self) -> bool:
        """Whether the server has been compared since it was connected to, as far as any ever is."""
        return self._comparison.is_made

    @property
    def positions(self) -> list[tuple[bytes, bytes]]:
        """The streams that are waited for, and the ids after which they are to be read."""
        positions = []
        if self._on_asked is not None:
            positions.append((self._asked, self._wishes.position))
        if not self._comparison.is_made:
            positions.append((self._compared, self._compared_at or self._comparison.position))
        return positions

    def look(self, found: Found, began: float) -> None:
        """Take what the streams had when they were read from their beginning."""
        self._comparison.look(found.pop(self._compared, ()))
        beats = found.pop(self._beat, ())
        if not beats:
            self._alive_until = inf
        elif beats[-1][0] not in self._seen:
            self._seen.append(beats[-1][0])
            # It is newer than the look before this one, and nobody knows by how much.
            fresh = min(self._looked, began)
            self._alive_until = fresh + max(self._bound, _MISSED * _seconds(_EVERY, beats[-1][1]))
        self._looked = began
        found.setdefault(self._asked, ())
        self.take(found)

    def take(self, found: Found) -> bool:
        """Take wishes that have come. Return whether a comparison has, so that a look is due."""
        asked = found.pop(self._asked, None)
        wishes = () if asked is None else self._wishes.take(asked)
        if wishes and self._on_asked is not None:
            self._on_asked(max(wish.pause for wish in wishes))
        if compared := found.pop(self._compared, ()):
            self._compared_at = compared[-1][0]
        return bool(compared)

    def trusted_for(self, began: float) -> float | None:
        """Return for how many seconds from `began` what was read then may be trusted.

        None: nobody knows yet whether it may.
        """
        if not self._comparison.is_made:
            return None
        return min(self._bound, self._alive_until - began)


def _seconds(name: bytes, fields: Sequence[bytes]) -> float:
    """Read a time in ms under this name; of something malformed, 0."""
    pairs = dict(zip(fields[::2], fields[1::2], strict=False))
    return (whole_number(pairs.get(name, b"")) or 0) / 1000
