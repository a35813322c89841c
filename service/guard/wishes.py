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
    """Reads the stream over one connection, which waits for the next."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._at: bytes | None = None

    def begin(self) -> None:
        """Find out anew, over another connection, what was wished for before."""
        self._at = None

    def read(self, seconds: float) -> bytes:
        """Spell the command that reads the next wishes, and waits for so long; ms at least.

        The first one waits for nothing.
        """
        if self._at is None:
            return packed(("XREAD", "STREAMS", self._key, b"0-0"))
        block = max(ceil(seconds * 1000), 1)
        return packed(("XREAD", "BLOCK", block, "STREAMS", self._key, self._at))

    def take(self, reply: Any) -> Sequence[Wish]:
        """Take the reply to it: the wishes that are new. Many at a time wait for other buckets."""
        is_begun, entries = self._at is not None, _entries(reply)
        self._at = entries[-1][0] if entries else self._at or b"0-0"
        return [Wish.read(fields) for _, fields in entries[-MOST_WISHES:]] if is_begun else []


def _entries(reply: Any) -> Sequence[RawEntry]:
    entries: Sequence[RawEntry] = reply[0][1] if reply else ()
    return entries
