"""One bucket's stream of the feed, as far as a guard has read it, and what it says."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from ..redis.keys import numbered
from .cursor import Cursor, Position, Replay
from .entries import BucketCutOff, Entry, UnknownKind, UserCutOff
from .revocations import Shard

logger = logging.getLogger("openshow_auth.guard")

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
        self._missing_until = self._unknown_until = float("-inf")
        self._unknown_at = self._cut_off_at = -1
        """When the last entry of an unknown kind, and the last cut-off of everybody, was added."""
        self._whole_until: Position | None = None
        """The newest entry up to which nothing is missing, while something after it is."""
        self.has_moved = True
        """Whether something was read, or is not sure any more, since this was last set back."""
        self.changed = asyncio.Event()
        """Set at the same moments."""
        self._everybody = -1
        """Up to when the last cut-off of everybody reaches that stands before the cursor."""

    @property
    def number(self) -> int:
        """The number of the last entry that was read; 0: none was."""
        return self.cursor.last.number if self.cursor.last else 0

    @property
    def incomplete_until(self) -> float:
        """Until then a session may have ended whose entry nobody has read, or understood."""
        return max(self._missing_until, self._unknown_until)

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
            if entry[0] == self._whole_until or self.ends_everybody(entry):
                self._mend()
        if entries:
            self._move()
        return True

    def ends_everybody(self, entry: Entry) -> bool:
        """Tell whether it ends all sessions that were opened before, and is new to the cursor."""
        return isinstance(entry[1], BucketCutOff) and entry[1].at > self._everybody

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
                self._cut_off_at = max(self._cut_off_at, position.milliseconds)
                if self._unknown_at < self._cut_off_at:
                    self._unknown_until = float("-inf")
            case UnknownKind() if position.milliseconds >= self._cut_off_at:
                if (left := self._matters_for(position.milliseconds)) > 0:
                    self._unknown_at = position.milliseconds
                    self._unknown_until = max(self._unknown_until, time.monotonic() + left)
                    self._set_unsure()
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
        self._set_unsure()

    def set_complete(self, at: float, bound: float | None, wall: float) -> None:
        """Note that all that is there was known at this time.

        `bound`: for how long that counts; None: nobody knows yet whether it does, so what was known
        before counts for as long as it would have. `wall`: the clock by which tokens expire.
        """
        self.shard.turn(at, wall)
        if bound is not None:
            self.shard.known_until = at + bound if at >= self.incomplete_until else float("-inf")

    def replay(self) -> Replay:
        """Begin to judge the stream anew, from its beginning."""
        return Replay(self.cursor, self._whole_until if self._is_missing else None)

    def rejoin(self, rereading: Replay, *, others_are_whole: bool) -> bool:
        """Go on from a rereading. False: entries that matter are missing, so nothing is sure."""
        now = round(time.time() * 1000)
        missing = rereading.missing_until(now, others_are_whole=others_are_whole)
        before, self.cursor = self.cursor.last, rereading.cursor
        self._move()
        self._everybody = self.shard.everybody
        if rereading.is_mended:
            self._mend()
        if missing is None or (left := self._matters_for(missing)) <= 0:
            return True
        self._miss(left, before)
        return False

    def _matters_for(self, milliseconds: int) -> float:
        """Tell for how many seconds more an entry of this time matters; 0 or less: it does not."""
        life = self.shard.life
        return min(milliseconds / 1000 + life - time.time(), life)

    def set_incomplete(self, seconds: float) -> None:
        """Be unsure for so long: a session may have ended whose entry cannot be read any more."""
        self._miss(seconds, self.cursor.last)

    @property
    def _is_missing(self) -> bool:
        return time.monotonic() < self._missing_until

    def _miss(self, seconds: float, last: Position | None) -> None:
        """Miss what came after `last`, or after what something is missing since already."""
        if not self._is_missing:
            self._whole_until = last
        self._missing_until = max(self._missing_until, time.monotonic() + seconds)
        self._set_unsure()

    def _mend(self) -> None:
        """Miss nothing any more: the last entry that was known is back, or everybody is cut off."""
        if self._is_missing:
            logger.warning("%s is whole again", self.key.decode())
        self._whole_until, self._missing_until = None, float("-inf")
        self._move()
        self._everybody = self.shard.everybody

    def _set_unsure(self) -> None:
        self.shard.known_until = float("-inf")
        self._move()

    def _move(self) -> None:
        self.has_moved = True
        self.changed.set()
