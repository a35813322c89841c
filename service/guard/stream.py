"""One bucket's stream of the feed, as far as a guard has read it, and what it says."""

import time
from collections.abc import Callable, Sequence

from ..redis.keys import numbered
from .cursor import Cursor, Replay
from .entries import BucketCutOff, Entry, UnknownKind, UserCutOff
from .revocations import Shard

OnUnknownKind = Callable[["Stream", str], None]


class Stream:
    """One bucket's stream, as far as it was read. Times are monotonic, in seconds."""

    def __init__(self, bucket: int, shard: Shard, on_unknown_kind: OnUnknownKind) -> None:
        """Read nothing yet. `on_unknown_kind` hears of entries that the guard does not understand.

        It is told this stream, and the names of the entry's fields.
        """
        self.bucket = bucket
        self.key = numbered(bucket).revoked
        self.mark_key = numbered(bucket).issuer
        self.is_ours = False
        """Whether the mark was this guard's issuer's when it was last looked at."""
        self.shard = shard
        self._on_unknown_kind = on_unknown_kind
        self.cursor = Cursor()
        self.incomplete_until = float("-inf")
        """Until then a session may have ended whose entry nobody can read any more."""

    @property
    def is_incomplete(self) -> bool:
        """Whether entries that matter are missing."""
        return time.monotonic() < self.incomplete_until

    def take(self, entries: Sequence[Entry]) -> bool:
        """Take the next entry. False: it is not the one that comes next, and was not taken."""
        for entry in entries:
            if not self.cursor.follow(entry[0]):
                return False
            self.note(entry)
        return True

    def note(self, entry: Entry) -> None:
        """Note what an entry says. It may be told again.

        Of one that the guard does not understand nobody knows whose session it ends, so for as long
        as it matters nothing is sure.
        """
        position, said = entry
        match said:
            case bytes():
                self.shard.add(said)
            case UserCutOff():
                self.shard.cut_off(said.user_id, said.cut_off)
            case BucketCutOff():
                self.shard.cut_off_everybody(said.at)
            case UnknownKind():
                if (left := self._matters_for(position.milliseconds)) > 0:
                    self.set_incomplete(left)
                    self._on_unknown_kind(self, said.name)

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

    def rejoin(self, rereading: Replay, *, others_are_whole: bool) -> bool:
        """Go on from a rereading. False: entries that matter are missing, so nothing is sure."""
        now = round(time.time() * 1000)
        missing = rereading.missing_until(now, others_are_whole=others_are_whole)
        self.cursor = rereading.cursor
        if missing is None or (left := self._matters_for(missing)) <= 0:
            return True
        self.set_incomplete(left)
        return False

    def _matters_for(self, milliseconds: int) -> float:
        """Tell for how many seconds more an entry of this time matters; 0 or less: it does not."""
        life = self.shard.life
        return min(milliseconds / 1000 + life - time.time(), life)

    def set_incomplete(self, seconds: float) -> None:
        """Be unsure for so long: a session may have ended whose entry cannot be read any more."""
        self.incomplete_until = max(self.incomplete_until, time.monotonic() + seconds)
        self.shard.known_until = float("-inf")
