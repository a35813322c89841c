"""The sessions that have ended and whose access tokens may still be about, in memory.

A session's entry must be kept as long as one of its access tokens may live. Each shard keeps two
generations: the young one takes entries for one such life, then is the old one for
another, and then is dropped as a whole. So an entry stays for one life at least and two at most,
and expiry costs nothing per entry. The shards take turns, so that no drop is a long one.
"""

import time

from ..redis.keys import BUCKETS

_MOST_FAR = 1024
"""Sessions of a shard that `keep` holds at most."""


class Shard:
    """What is known of the sessions in one bucket.

    The members are looked at directly: the check of a request has no time for a call. Times are
    those of `time.monotonic`, in seconds.
    """

    __slots__ = ("_far", "_life", "_offset", "_turns_at", "known_until", "old", "young")

    def __init__(self, life: float, turns_at: float) -> None:
        # Keys without values: a set as full as this takes up to half as much again.
        self.young: dict[bytes, None] = {}
        self.old: dict[bytes, None] = {}
        self.known_until = float("-inf")
        """Until then the sets are taken to be complete. Set by the feed."""
        self._life = life
        self._turns_at = turns_at
        self._far: dict[bytes, float] = {}
        self._offset: float | None = None

    def add(self, session_id: bytes) -> None:
        """Note that this session has ended; it never comes back."""
        self.young[session_id] = None

    def keep(self, session_id: bytes, until: float, now: float) -> None:
        """Keep the end of this session, should there be one, until a token of it has expired.

        For a token that was minted by a clock ahead of ours, so that it outlives what a life
        allows. `until` and `now` are on the wall clock.
        """
        if session_id in self._far or len(self._far) < _MOST_FAR:
            self._far[session_id] = max(until, self._far.get(session_id, 0))
        else:  # keep all, then
            self._turns_at = max(self._turns_at, time.monotonic() + until - now)

    def __contains__(self, session_id: bytes) -> bool:
        return session_id in self.young or session_id in self.old

    def __len__(self) -> int:
        return len(self.young) + len(self.old)

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
            kept = self._far and [sid for sid in self.old if self._outlives(sid, wall)]
            self.old, self.young = self.young, dict.fromkeys(kept)
            self._far = {s: until for s, until in self._far.items() if self._outlives(s, wall)}
            self._turns_at = now + self._life

    def _outlives(self, session_id: bytes, wall: float | None) -> bool:
        until = self._far.get(session_id)
        return until is not None and (wall is None or until > wall)


def shards(life: float, now: float) -> tuple[Shard, ...]:
    """Make one for each bucket. `life`: seconds that an entry must be kept at least."""
    return tuple(Shard(life, now + life * (1 + number / BUCKETS)) for number in range(BUCKETS))
