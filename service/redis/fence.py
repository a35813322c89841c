"""What keeps a process from serving buckets whose Redis has gone back in time.

Two things, both in memory, so that nothing is added to the way of a request: the buckets that are
fenced at the moment, and the number of the last revocation that this process has answered for, in
each bucket. Who compares those with what Redis has, and mends it: `service/rollback`. Fenced is
also what may have gone back, until all who may know have told (`rollback/peers.py`).
"""

from collections.abc import Callable, Sequence, Set

from service.errors import StoreRefuses
from service.redis.connection import Argument
from service.redis.keys import BUCKETS, bucket_of

_MESSAGE = "Redis has gone back in time in this bucket, and its revocations are not done again yet"
_AWAITED = "Redis has started anew, and other processes have not told yet what they have ended"


class Fence:
    """The buckets that are not served, and the highest number answered for in each."""

    def __init__(self) -> None:
        self.buckets: frozenset[int] = frozenset()
        """Those that are not served: `behind`, and those `awaited`."""
        self.behind: frozenset[int] = frozenset()
        """Those that have gone back."""
        self.awaited: frozenset[int] = frozenset()
        """Those of which others may know that."""
        self.answered = [0] * BUCKETS
        self.ended = [b""] * BUCKETS
        """What that entry has ended: a session or all of a user, by id; empty where not known."""
        self.on_lost: Callable[[], None] = lambda: None
        """Called when a connection has broken, before another is made."""
        self.on_forgotten: Callable[[], None] = lambda: None
        """Called when a script has found that Redis was emptied, before anybody has compared."""

    def note(self, minted: bytes, number: int, ended: bytes = b"") -> None:
        """Note the number of an entry of the feed, in the bucket of a user, before it is answered.

        0: there was none. `ended`: the id of the session, or of the user, that it names.
        """
        number_of_bucket = minted[0] & (BUCKETS - 1)
        if number > self.answered[number_of_bucket]:
            self.answered[number_of_bucket] = number
            self.ended[number_of_bucket] = ended

    def expect(self, bucket: int, number: int) -> None:
        """Take over that somebody has answered for an entry of a bucket with this number."""
        if number > self.answered[bucket]:
            self.answered[bucket], self.ended[bucket] = number, b""

    def close(self, *, behind: Set[int] | None = None, awaited: Set[int] | None = None) -> None:
        """Serve none of these buckets; what is not given stays as it is."""
        if behind is not None:
            self.behind = frozenset(behind)
        if awaited is not None:
            self.awaited = frozenset(awaited)
        self.buckets = self.behind | self.awaited

    def admit(self, command: Sequence[Argument]) -> None:
        """Refuse a command on a bucket that is fenced. To be asked while any is.

        Raises:
            StoreRefuses
        """
        key = first_key(command)
        if isinstance(key, bytes) and b"{" in key and bucket_of(key) in self.buckets:
            is_behind = bucket_of(key) in self.behind
            raise StoreRefuses("rollback", _MESSAGE if is_behind else _AWAITED)


def first_key(command: Sequence[Argument]) -> Argument:
    """Return the first key of a command; where it has none, whatever stands in that place.

    In a script call that stands behind the number of keys, in any other behind the name.
    """
    place = 3 if command[0] in ("EVALSHA", "EVAL") else 1
    return command[place] if len(command) > place else b""
