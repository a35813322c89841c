"""The sessions that have ended and whose access tokens may still be about, in memory.

A session's entry must be kept as long as one of its access tokens may live. Each shard keeps two
generations: the young one takes entries for one such life, then is the old one for
another, and then is dropped as a whole. So an entry stays for one life at least and two at most,
and expiry costs nothing per entry. The shards take turns, so that no drop is a long one.

Cut-offs, which end sessions by when they were opened, are kept as long, and cost the check of a
known token nothing: see `Ends`.
"""

import time

from ..redis.keys import BUCKETS
from .cut_offs import CutOff

_MOST_FAR = 1024
"""Ids of a shard that `keep` holds at most."""
_NEVER = -1


class Ends:
    """What known tokens of one bucket are checked against with each request.

    The members are looked at directly: the check has no time for a call. Whoever refers to one has
    compared a token with all cut-offs that were known; with the next cut-off the shard has another
    one. Then this one says that nothing is known, so that the token is compared anew, once.
    """

    __slots__ = ("known_until", "old", "shard", "young")

    def __init__(self, shard: "Shard") -> None:
        # Keys without values: a set as full as this takes up to half as much again.
        self.young: dict[bytes, None] = {}
        self.old: dict[bytes, None] = {}
        self.known_until = float("-inf")
        """Until then the sets are taken to be complete. Set by the feed."""
        self.shard = shard

    def replaced(self) -> "Ends":
        """Return one that knows the same; this one knows nothing any more."""
        successor = Ends(self.shard)
        successor.young, successor.old = self.young, self.old
        successor.known_until = self.known_until
        self.young, self.old, self.known_until = {}, {}, float("-inf")
        return successor


class Shard:
    """What is known of the sessions in one bucket.

    Times are those of `time.monotonic`, in seconds; cut-offs and openings in ms by Redis' clock.
    """

    __slots__ = ("_everybody", "_far", "_offset", "_old", "_turns_at", "_young", "ends", "life")

    def __init__(self, life: float, turns_at: float) -> None:
        """Know nothing yet. `life`: seconds that an entry matters."""
        self.ends = Ends(self)
        self.life = life
        self._young: dict[bytes, CutOff] = {}
        self._old: dict[bytes, CutOff] = {}
        self._everybody = _NEVER
        self._turns_at = turns_at
        self._far: dict[bytes, float] = {}
        self._offset: float | None = None

    @property
    def known_until(self) -> float:
        """Until then all that has ended is taken to be known. Set by the feed."""
        return self.ends.known_until

    @known_until.setter
    def known_until(self, until: float) -> None:
        self.ends.known_until = until

    def add(self, session_id: bytes) -> None:
        """Note that this session has ended; it never comes back."""
        self.ends.young[session_id] = None

    def cut_off(self, user_id: bytes, cut_off: CutOff) -> None:
        """Note that sessions of this user have ended, besides those that have already."""
        before = self._young.pop(user_id, None) or self._old.pop(user_id, None)
        self._young[user_id] = cut_off.joined(before) if before else cut_off
        self.ends = self.ends.replaced()

    def cut_off_everybody(self, at: int) -> None:
        """Note that all sessions of the bucket that were opened up to then have ended."""
        self._everybody = max(self._everybody, at)
        self.ends = self.ends.replaced()

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

    def __contains__(self, session_id: bytes) -> bool:
        return session_id in self.ends.young or session_id in self.ends.old

    def __len__(self) -> int:
        ends = self.ends
        return len(ends.young) + len(ends.old) + len(self._young) + len(self._old)

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
            ends, far = self.ends, self._far
            kept = far and [sid for sid in ends.old if self._outlives(sid, wall)]
            ends.old, ends.young = ends.young, dict.fromkeys(kept)
            cut = {uid: it for uid, it in self._old.items() if far and self._outlives(uid, wall)}
            self._old, self._young = self._young, cut
            self._far = {id_: until for id_, until in far.items() if self._outlives(id_, wall)}
            self._turns_at = now + self.life

    def _outlives(self, id_: bytes, wall: float | None) -> bool:
        until = self._far.get(id_)
        return until is not None and (wall is None or until > wall)


def shards(life: float, now: float) -> tuple[Shard, ...]:
    """Make one for each bucket. `life`: seconds that an entry must be kept at least."""
    return tuple(Shard(life, now + life * (1 + number / BUCKETS)) for number in range(BUCKETS))
