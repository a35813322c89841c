"""Tells of entries of the feed whose kind this guard does not know."""

import logging
from math import ceil

from .counters import GuardCounters
from .rate_limited_log import shown
from .stream import Stream

logger = logging.getLogger("openshow_auth.guard")

_MOST_TOLD = 100
"""Kinds that are logged; a feed that is full of nonsense fills no log."""


class UnknownKinds:
    """Counts such entries, and logs each kind once."""

    def __init__(self, counters: GuardCounters) -> None:
        self._counters = counters
        self._told: set[str] = set()

    def met(self, stream: Stream, kind: str) -> None:
        """Take note of an entry with these names of fields, by which the stream is incomplete."""
        self._counters.feed_unknown += 1
        if kind in self._told or len(self._told) >= _MOST_TOLD:
            return
        self._told.add(kind)
        logger.error(
            "%s has an entry of a kind that this guard does not know (%s): upgrade openshow-guard "
            "first, then the service; the bucket counts as lost for %d s after each of them",
            stream.key.decode(),
            shown(kind),
            ceil(stream.shard.life),
        )
