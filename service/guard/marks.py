"""Tells whether a Redis holds the feed of this guard's issuer, by its mark (`feed_mark.py`)."""

from collections.abc import Sequence

from ..redis.feed_mark import issuer_in
from .rate_limited_log import RateLimitedLog, shown


class Marks:
    """Compares marks with the issuer of this guard, and tells when they are not its own."""

    def __init__(self, issuer: str, log: RateLimitedLog) -> None:
        self._issuer = issuer
        self._log = log

    def are_ours(self, entries: Sequence[tuple[bytes, Sequence[bytes]]]) -> bool:
        """Tell whether the entries of a mark name this guard's issuer. Log it if not."""
        found = issuer_in(entries)
        if found == self._issuer:
            return True
        if found is None:
            self._log.error(
                "the feed in Redis bears no mark, this guard's issuer is %s: another server or "
                "database, or a service that has not marked it yet; it counts as lost",
                shown(self._issuer),
            )
        else:
            self._log.error(
                "the feed in Redis is that of the issuer %s, this guard's is %s: another server or "
                "database, or a wrong setting; it counts as lost",
                shown(found),
                shown(self._issuer),
            )
        return False
