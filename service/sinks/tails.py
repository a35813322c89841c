"""Looks for what is new in all streams, once for all who wait for it.

Else each stream would be asked for itself, 640 times a second in all for each sink: with little to
do that would be most of the work.
"""

import time
from collections.abc import Iterable

from service.errors import StoreUnavailable
from service.events.event import ALL_STREAMS, stream_of
from service.redis.client import RedisClient
from service.redis.every_bucket import newest_of
from service.redis.keys import position_of
from service.repeating import repeat

_PAUSE = 0.1
"""Seconds between two looks."""

_GOOD_FOR = 1.0
"""Seconds after which it is not known any more what is new."""


class Tails:
    """The newest entry of each stream, as of a moment ago."""

    def __init__(self, redis: RedisClient) -> None:
        """Know nothing yet."""
        self._redis = redis
        self._newest: dict[int, tuple[int, int]] = {}
        self._looked_at = 0.0

    async def run(self) -> None:
        """Look again and again, until it is cancelled."""
        await repeat("tails", self.look, _PAUSE)

    async def look(self, buckets: Iterable[int] = ALL_STREAMS) -> None:
        """Look once at the streams of these buckets. Of others, and what cannot be read, nothing is
        known then."""
        began = time.monotonic()
        try:
            found = await newest_of(self._redis, {bucket: stream_of(bucket) for bucket in buckets})
        except StoreUnavailable:
            found = {}
        self._newest = {bucket: position_of(newest) for bucket, newest in found.items()}
        self._looked_at = began

    def has_news(self, bucket: int, cursor: str) -> bool:
        """Tell whether there may be entries behind `cursor`."""
        newest = self._newest.get(bucket)
        if newest is None or time.monotonic() - self._looked_at > _GOOD_FOR:
            return True
        return position_of(cursor.encode()) < newest
