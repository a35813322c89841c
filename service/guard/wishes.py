"""The service's wish that guards say now how far they have read: the stream `revoked:asked:{b}`."""

from collections.abc import Sequence
from math import ceil
from typing import Any

import msgspec

from ..redis.keys import BUCKETS, MOST_WISHES
from .connection import packed
from .cut_offs import whole_number
from .entries import RawEntry

LONGEST_PAUSE = 1.0


class Wish(msgspec.Struct, frozen=True):
    """What the service wants to be told.

    `pause`: seconds to leave between two reports. It waits for this `number` of this `bucket`; 0: a
    service of before does not say.
    """

    pause: float
    bucket: int
    number: int

    @classmethod
    def read(cls, fields: Sequence[bytes]) -> "Wish":
        """Read it; what is malformed is 0."""
        pairs = dict(zip(fields[::2], fields[1::2], strict=False))
        pause, bucket, number = (
            whole_number(pairs.get(name, b"")) or 0 for name in (b"pause", b"bucket", b"number")
        )
        return cls(min(pause / 1000, LONGEST_PAUSE), bucket % BUCKETS, number)


class Wishes:
    """Where a reader stands in the stream."""

    def __init__(self) -> None:
        self._at: bytes | None = None

    def begin(self) -> None:
        """Find out anew, over another connection, what was wished for before."""
        self._at = None

    @property
    def position(self) -> bytes:
        """Reading after this id gives what is new."""
        return self._at or b"0-0"

    def read(self, key: bytes, seconds: float) -> bytes:
        """Spell the command that reads the next wishes, and waits for so long; ms at least.

        The first one waits for nothing.
        """
        if self._at is None:
            return packed(("XREAD", "STREAMS", key, self.position))
        block = max(ceil(seconds * 1000), 1)
        return packed(("XREAD", "BLOCK", block, "STREAMS", key, self.position))

    def take(self, entries: Sequence[RawEntry]) -> Sequence[Wish]:
        """Take what was read after `position`, or from the beginning: the wishes that are new.

        Many at a time wait for other buckets.
        """
        before, self._at = self._at, entries[-1][0] if entries else self.position
        if before is None:
            return []
        ids = [id_ for id_, _ in entries]
        known = ids.index(before) + 1 if before in ids else 0
        return [Wish.read(fields) for _, fields in entries[known:][-MOST_WISHES:]]


def wishes_in(reply: Any) -> Sequence[RawEntry]:
    """Return the entries in the reply to `Wishes.read`."""
    entries: Sequence[RawEntry] = reply[0][1] if reply else ()
    return entries
