"""One bucket's stream of the feed, as far as a guard has read it, and what it says."""

import time
from collections.abc import Sequence

from ..redis.keys import numbered
from .cursor import Cursor, Position, Replay
from .revocations import Shard

Entry = tuple[Position, bytes]
"""An entry: where it stands in the stream, and the id of the session that has ended."""


RawEntries = Sequence[tuple[bytes, Sequence[bytes]]]
"""Entries as Redis sends them: id, and names and values in turn."""


def entry(id_: bytes, fields: Sequence[bytes]) -> Entry:
    """Read an entry as `redis/keys.py` describes it. What is none has number 0: one is missing."""
    match fields:
        case [b"n", number, b"s", session_id] if number.isdigit():
            return Position(id_, int(number)), session_id
        case _:
            return Position(id_, 0), b""


class Stream:
    """One bucket's stream, as far as it was read. Times are monotonic, in seconds."""

    def __init__(self, bucket: int, shard: Shard) -> None:
        self.bucket = bucket
        self.key = numbered(bucket).revoked
        self.mark_key = numbered(bucket).issuer
        self.is_ours = False
        """Whether the mark was this guard's issuer's when it was last looked at."""
        self.shard = shard
        self.cursor = Cursor()
        self.incomplete_until = float("-inf")
        """Until then a session may have ended whose entry nobody can read any more."""

    @property
    def is_incomplete(self) -> bool:
        """Whether entries that matter are missing."""
        return time.monotonic() < self.incomplete_until

    def take(self, entries: Sequence[Entry]) -> bool:
        """Take the next entry. False: it is not the one that comes next, and was not taken."""
        for entry, session_id in entries:
            if not self.cursor.follow(entry):
                return False
            self.shard.add(session_id)
        return True

    def goes_on(self, entries: list[Entry]) -> bool:
        """Take what stands after `cursor.before_last`. False: the last known entry is not there."""
        last = self.cursor.last
        if last is not None and (not entries or entries.pop(0)[0] != last):
            return False
        return self.take(entries)

    def set_foreign(self) -> None:
        """Take nothing of it and be sure of nothing: its mark is another issuer's or nobody's."""
        self.is_ours = False
        self.shard.known_until = float("-inf")

    def set_complete(self, at: float, bound: float, wall: float) -> None:
        """Note that all was known at this time. `wall`: the clock by which tokens expire."""
        self.shard.turn(at, wall)
        self.shard.known_until = at + bound if at >= self.incomplete_until else float("-inf")

    def rejoin(self, rereading: Replay, life: float, *, others_are_whole: bool) -> bool:
        """Go on from a rereading. False: entries that matter are missing, so nothing is sure."""
        wall = time.time()
        missing = rereading.missing_until(round(wall * 1000), others_are_whole=others_are_whole)
        self.cursor = rereading.cursor
        if missing is None or (left := missing / 1000 + life - wall) <= 0:
            return True
        self.set_incomplete(min(left, life))
        return False

    def set_incomplete(self, seconds: float) -> None:
        """Be unsure for so long: a session may have ended whose entry cannot be read any more."""
        self.incomplete_until = max(self.incomplete_until, time.monotonic() + seconds)
        self.shard.known_until = float("-inf")
