"""The sessions that have ended and whose access tokens may still be about, in memory.

A session's entry must be kept as long as one of its access tokens may live. Each shard keeps two
generations: the young one takes entries for one such life, then is the old one for
another, and then is dropped as a whole. So an entry stays for one life at least and two at most,
and expiry costs nothing per entry. The shards take turns, so that no drop is a long one.
"""

from service.keyspace.keys import BUCKETS


class Shard:
    """What is known of the sessions in one bucket.

    The members are looked at directly: the check of a request has no time for a call. Times are
    those of `time.monotonic`, in seconds.
    """

    __slots__ = ("_life", "_turns_at", "known_until", "old", "young")

    def __init__(self, life: float, turns_at: float) -> None:
        # Keys without values: a set as full as this takes up to half as much again.
        self.young: dict[bytes, None] = {}
        self.old: dict[bytes, None] = {}
        self.known_until = float("-inf")
        """Until then the sets are taken to be complete. Set by the feed."""
        self._life = life
        self._turns_at = turns_at

    def add(self, session_id: bytes) -> None:
        """This session has ended; it never comes back."""
        self.young[session_id] = None

    def __contains__(self, session_id: bytes) -> bool:
        return session_id in self.young or session_id in self.old

    def __len__(self) -> int:
        return len(self.young) + len(self.old)

    def turn(self, now: float) -> None:
        """Drop what is old enough. To be called about as often as a life lasts, or oftener."""
        if now >= self._turns_at:
            self.old, self.young = self.young, {}
            self._turns_at = now + self._life


def shards(life: float, now: float) -> tuple[Shard, ...]:
    """One for each bucket. `life`: seconds that an entry must be kept at least."""
    return tuple(Shard(life, now + life * (1 + number / BUCKETS)) for number in range(BUCKETS))
