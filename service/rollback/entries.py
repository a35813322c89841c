"""What the journal keeps: entries of the feed, each with whose sessions it has ended."""

from collections.abc import Iterable, Sequence

import msgspec


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An entry of the feed."""

    number: int
    id: str
    """As Redis has it: `<ms since 1970>-<sequence>`."""
    kind: str
    """`s`, the end of a session; `u`, a cut-off of a user; `g`, one of the bucket. A newer version
    may have others."""
    user: bytes
    """The user's id; empty for a bucket, and where it could not be found out."""
    subject: bytes = b""
    """Of a session its id; of a cut-off of a user the ids of those that stay, joined."""
    at: int = 0
    """Of a cut-off: sessions that were opened by then have ended; ms."""

    @property
    def milliseconds(self) -> int:
        """When it was added, by the server's clock."""
        return int(self.id.partition("-")[0])

    @property
    def can_be_done_again(self) -> bool:
        """Whether all is known that doing it again needs."""
        return self.kind == "g" or (self.kind in ("s", "u") and bool(self.user))


class Batch(msgspec.Struct, frozen=True):
    """Consecutive entries of a bucket, as they were written to the journal in one step."""

    bucket: int
    entries: tuple[Entry, ...]
    is_whole: bool
    """Whether they follow what the journal had before without a gap."""

    @property
    def first(self) -> int:
        """The number of the first entry."""
        return self.entries[0].number

    @property
    def last(self) -> int:
        """The number of the last entry."""
        return self.entries[-1].number


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(tuple[Entry, ...])


def packed(entries: Sequence[Entry]) -> bytes:
    """Pack entries for a column."""
    return _ENCODER.encode(entries)


def unpacked(column: bytes) -> tuple[Entry, ...]:
    """Unpack what `packed` has made."""
    return _DECODER.decode(column)


class Coverage:
    """Tells whether the journal has every entry of a bucket after `had`, up to `expected`.

    What was pruned at its beginning was too old to matter; the first batch that is left tells that
    it followed.
    """

    def __init__(self, had: int, expected: int) -> None:
        self._last: int | None = None
        self._had, self._expected = had, expected
        self._has_gap = False

    def take(self, batch: Batch) -> Iterable[Entry]:
        """Take the next batch, and return its entries that come after `had`."""
        if self._last is None:
            self._has_gap = not (batch.is_whole or batch.first <= self._had + 1)
        elif batch.first > self._last + 1:
            self._has_gap = True
        self._last = max(batch.last, self._last or 0)
        later = [entry for entry in batch.entries if entry.number > self._had]
        self._has_gap |= not all(entry.can_be_done_again for entry in later)
        return later

    @property
    def is_whole(self) -> bool:
        """Whether all are there, and can be done again."""
        return not self._has_gap and self._last is not None and self._last >= self._expected
