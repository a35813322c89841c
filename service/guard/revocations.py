"""The sessions that have ended and whose access tokens may still be about, in memory.

A session's entry must be kept as long as one of its access tokens may live. Each shard keeps two
generations: the young one takes entries for one such life, then is the old one for
another, and then is dropped as a whole. So an entry stays for one life at least and two at most,
and expiry costs nothing per entry. The shards take turns, so that no drop is a long one.

Cut-offs, which end sessions by when they were opened, are kept as long. Neither costs the check of
a known token anything, until the next one of its bucket: see `Ends`.
"""

import time

from ..redis.keys import BUCKETS
from .cut_offs import CutOff
from .ended_sessions import SIZE, EndedSessions

_MOST_FAR = 1024
"""Ids of a shard that `keep` holds at most."""
_NEVER = -1


class Ends:
    """What known tokens of one bucket are checked against with each request.

    `known_until` is looked at directly: the check has no time for a call. Whoever refers to one has
    compared a token with all that had ended. With the next end or cut-off the shard has another
    one, and this one says that nothing is known, so that the token is compared anew, once.
    """

    __slots__ = ("known_until", "shard")

    def __init__(self, shard: "Shard", known_until: float = float("-inf")) -> None:
        self.known_until = known_until
        """Until then all that has ended is taken to be known. Set by the feed."""
        self.shard = shard


class Shard:
    """What is known of the sessions in one bucket.

    Times are those of `time.monotonic`, in seconds; cut-offs and openings in ms by Redis' clock.
    """

    __slots__ = (
        "_ends", "_everybody", "_far", "_offset", "_old", "_old_sessions", "_shared", "_turns_at",
        "_young", "_young_sessions", "life",
    )  # fmt: skip

    def __init__(self, life: float, turns_at: float) -> None:
        """Know nothing yet. `life`: seconds that an entry matters."""
        self._ends = Ends(self)
        self._shared = False
        self.life = life
        self._young_sessions, self._old_sessions = EndedSessions(), EndedSessions()
        self._young: dict[bytes, CutOff] = {}
        self._old: dict[bytes, CutOff] = {}
        self._everybody = _NEVER
        self._turns_at = turns_at
        self._far: dict[bytes, float] = {}
        self._offset: float | None = None

    @property
    def known_until(self) -> float:
        """Until then all that has ended is taken to be known. Set by the feed."""
        return self._ends.known_until

    @known_until.setter
    def known_until(self, until: float) -> None:
        self._ends.known_until = until

    @property
    def everybody(self) -> int:
        """Up to when sessions were opened that a cut-off of everybody ended; -1: there was none."""
        return self._everybody

    @property
    def ends(self) -> Ends:
        """What a token refers to that was compared with all that is known now."""
        self._shared = True
        return self._ends

    def add(self, session_id: bytes) -> None:
        """Note that this session has ended; it never comes back."""
        self._young_sessions.add(session_id)
        self._renew()

    def is_latest(self, ends: Ends) -> bool:
        """Tell whether nothing has ended since a token got these."""
        return ends is self._ends

    def cut_off(self, user_id: bytes, cut_off: CutOff) -> None:
        """Note that sessions of this user have ended, besides those that have already."""
        before = self._young.pop(user_id, None) or self._old.pop(user_id, None)
        self._young[user_id] = cut_off.joined(before) if before else cut_off
        self._renew()

    def cut_off_everybody(self, at: int) -> None:
        """Note that all sessions of the bucket that were opened up to then have ended."""
        self._everybody = max(self._everybody, at)
        self._renew()

    def is_cut_off(self, user_id: bytes, session_id: bytes, opened_at: int) -> bool:
        """Tell whether a cut-off has ended this session."""
        if opened_at <= self._everybody:
            return True
        cut_off = self._young.get(user_id) or self._old.get(user_id)
        return cut_off is not None and opened_at <= cut_off.reaches(session_id)

    def keep(self, id_: bytes, until: float, now: float) -> None:
        """Keep the end of this session, or the cut-off of this user, until a token has expired.

        For a token that was minted by a clock ahead of ours, so that it outlives what a life
        allows. `until` and `now` are on the wall clock.
        """
        if id_ in self._far or len(self._far) < _MOST_FAR:
            self._far[id_] = max(until, self._far.get(id_, 0))
        else:  # keep all, then
            self._turns_at = max(self._turns_at, time.monotonic() + until - now)

    def has_ended(self, user_id: bytes, session_id: bytes, opened_at: int) -> bool:
        """Tell whether this session has ended, by itself or by a cut-off, as far as is known."""
        return session_id in self or self.is_cut_off(user_id, session_id, opened_at)

    def __contains__(self, session_id: bytes) -> bool:
        return session_id in self._young_sessions or session_id in self._old_sessions

    def __len__(self) -> int:
        sessions = len(self._young_sessions) + len(self._old_sessions)
        return sessions + len(self._young) + len(self._old)

    def turn(self, now: float, wall: float | None = None) -> None:
        """Drop what is old enough. To be called about as often as a life lasts, or oftener.

        `wall`: the clock by which tokens expire. Where it was put back, they live for longer.
        """
        if wall is not None:
            offset = wall - now
            if self._offset is not None and offset < self._offset:
                self._turns_at += self._offset - offset
            self._offset = offset
        if now >= self._turns_at:
            far, sessions = self._far, EndedSessions()
            for id_ in far:
                if len(id_) == SIZE and id_ in self._old_sessions and self._outlives(id_, wall):
                    sessions.add(id_)
            self._old_sessions, self._young_sessions = self._young_sessions, sessions
            cut = {uid: it for uid, it in self._old.items() if far and self._outlives(uid, wall)}
            self._old, self._young = self._young, cut
            self._far = {id_: until for id_, until in far.items() if self._outlives(id_, wall)}
            self._turns_at = now + self.life

    def _renew(self) -> None:
        """Have all known tokens compared anew, if there may be any."""
        if self._shared:
            before, self._shared = self._ends, False
            self._ends = Ends(self, before.known_until)
            before.known_until = float("-inf")

    def _outlives(self, id_: bytes, wall: float | None) -> bool:
        until = self._far.get(id_)
        return until is not None and (wall is None or until > wall)


def shards(life: float, now: float) -> tuple[Shard, ...]:
    """Make one for each bucket. `life`: seconds that an entry must be kept at least."""
    return tuple(Shard(life, now + life * (1 + number / BUCKETS)) for number in range(BUCKETS))
