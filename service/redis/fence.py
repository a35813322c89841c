"""What keeps a process from serving buckets whose Redis has gone back in time.

Two things, both in memory, so that nothing is added to the way of a request: the buckets that are
fenced at the moment, and the number of the last revocation that this process has answered for, in
each bucket. Who compares those with what Redis has, and mends it: `service/rollback`.
"""

from collections.abc import Callable, Sequence

from service.errors import StoreRefuses
from service.redis.connection import Argument
from service.redis.keys import BUCKETS, bucket_of

_MESSAGE = "Redis has gone back in time in this bucket, and its revocations are not done again yet"


class Fence:
    """The buckets that are not served, and the highest number answered for in each."""

    def __init__(self) -> None:
        self.buckets: set[int] = set()
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

    def admit(self, command: Sequence[Argument]) -> None:
        """Refuse a command on a bucket that is fenced. To be asked while any is.

        Raises:
            StoreRefuses
        """
        key = first_key(command)
        if isinstance(key, bytes) and b"{" in key and bucket_of(key) in self.buckets:
            raise StoreRefuses("rollback", _MESSAGE)


def first_key(command: Sequence[Argument]) -> Argument:
    """Return the first key of a command; where it has none, whatever stands in that place.

    In a script call that stands behind the number of keys, in any other behind the name.
    """
    place = 3 if command[0] in ("EVALSHA", "EVAL") else 1
    return command[place] if len(command) > place else b""
