"""Notices a server that has gone back though it has lost no revocation.

Only revocations are numbered. But some process writes about twice a second that it has compared
(`redis/comparisons.py`), and remembers when; the one that writes the journal notes that in the user
store, for those that start later. A server that has only earlier comparisons has gone back, and has
forgotten which codes and tickets were used since. One that went back by less than `_SURE` and the
time between two comparisons is not noticed: a failover without acknowledgements loses a little,
and that must not void whatever was mailed.
"""

import time
from collections.abc import Iterable, Mapping

import structlog
from redis.asyncio.connection import AbstractConnection

from service.redis.client import RedisClient
from service.redis.every_bucket import newest_of
from service.redis.keys import BUCKETS, numbered, position_of
from service.rollback.reading import replies_on

log = structlog.get_logger()

_LATEST = 2**53
"""A time that no comparison has, ms, and the user store may not take."""

_SURE = 0.4  # less than between two comparisons
"""Seconds after which replicas have a comparison, and it must be there."""

_Position = tuple[int, int]


class Marks:
    """The latest comparisons that this process has made, by the bucket in which they stand: that of
    each in a cluster, or the first."""

    def __init__(self, redis: RedisClient, *, logs: bool = True) -> None:
        """Know of none. `logs`: what has gone back."""
        self._logs = logs
        self._in_cluster = redis.topology == "cluster"
        self._latest: dict[int, tuple[_Position, float]] = {}
        self._sure: dict[int, _Position] = {}
        self._believed: dict[int, int] = {}
        self.noted: Mapping[int, int] = {}
        """Those that the user store has, ms."""

    def note(self, bucket: int, id_: bytes) -> None:
        """Note one that was made just now."""
        self._settle(bucket)
        self._latest[bucket] = position_of(id_), time.monotonic()

    async def gone_back_on(
        self, connection: AbstractConnection, buckets: Iterable[int]
    ) -> Mapping[int, bytes]:
        """Find what a server that has these buckets has, where that is earlier than must be.

        Have the codes and tickets of before count as used, then `accept` it.

        Raises:
            redis.exceptions.RedisError, OSError: it does not tell.
        """
        found = await latest_on(connection, list(buckets) if self._in_cluster else [0])
        return {part: id_ for part, id_ in found.items() if position_of(id_) < self._must(part)}

    def accept(self, found: Mapping[int, bytes]) -> None:
        """Go by what was found, so that the same is not noticed again; and log it, once."""
        lost = [self._must(part)[0] - position_of(id_)[0] for part, id_ in found.items()]
        if lost and self._logs:
            log.error("redis.wentBack", buckets=0, lost=0, seconds=max(lost) / 1000)
        for part, id_ in found.items():
            self._latest.pop(part, None)
            self._sure[part] = position_of(id_)
            self._believed[part] = self.noted.get(part, 0)

    def _must(self, part: int) -> _Position:
        self._settle(part)
        noted = self.noted.get(part, 0)
        believed = noted if noted > self._believed.get(part, 0) else 0
        return max(self._sure.get(part, (0, 0)), (believed, 0))

    def _settle(self, part: int) -> None:
        position, at = self._latest.get(part, ((0, 0), 0.0))
        if time.monotonic() - at >= _SURE:
            self._sure[part] = max(position, self._sure.get(part, (0, 0)))


async def latest_on(connection: AbstractConnection, parts: Iterable[int]) -> dict[int, bytes]:
    """Read the ids of the latest comparisons in these buckets, where there are any."""
    parts = list(parts)
    asked = [("XREVRANGE", numbered(part).compared, "+", "-", "COUNT", 1) for part in parts]
    replies = await replies_on(connection, asked)
    return {parts[place]: found[0][0] for place, found in replies.items() if found}


async def latest_of(redis: RedisClient) -> dict[int, int]:
    """Read when the latest comparisons were made, ms, wherever there are any.

    Raises:
        StoreUnavailable
    """
    parts = range(BUCKETS if redis.topology == "cluster" else 1)
    found = await newest_of(redis, {part: numbered(part).compared for part in parts})
    times = {part: position_of(id_)[0] for part, id_ in found.items()}
    return {part: at for part, at in times.items() if 0 < at < _LATEST}
