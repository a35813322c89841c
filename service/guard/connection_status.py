"""Counts the readers of the feed that have no connection, and logs the first and the last."""

import logging

from .counters import GuardCounters
from .rate_limited_log import RateLimitedLog

logger = logging.getLogger("openshow_auth.guard")


class FeedConnectionStatus:
    """Readers that are broken now; the first to break and the last to mend are logged."""

    def __init__(self, counters: GuardCounters) -> None:
        self._counters = counters
        self._log = RateLimitedLog()
        self._broken: set[int] = set()

    def broken(self, bucket: int, error: Exception) -> None:
        """Note that a reader could not connect, or that its connection broke."""
        self._counters.feed_breaks += 1
        if not self._broken:
            logger.warning("the revocation feed has broken: %s", type(error).__name__)
        self._broken.add(bucket)

    def failed(self, bucket: int, defect: Exception) -> None:
        """Note that a reader met an unforeseen error: a defect, or a server that is not Redis."""
        self._log.error("a reader of the revocation feed has failed", defect=defect)
        self.broken(bucket, defect)

    def mended(self, bucket: int) -> None:
        """Note that a reader knows everything again."""
        if self._broken:
            self._broken.discard(bucket)
            if not self._broken:
                logger.warning("the revocation feed has been resumed")
