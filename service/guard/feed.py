"""The feed: follows the streams `revoked:{b}` and fills the shards.

A standalone server, or the one that Sentinels name, is read by one task. A cluster refuses a read
over several slots, so there each stream has a task of its own; those whose streams lie on one node
share a connection.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from math import isfinite

from msgspec import structs

from ..redis.guard_position import About
from ..redis.url import RedisUrl
from .connection_status import FeedConnectionStatus
from .counters import GuardCounters
from .discovery import PrimaryDiscovery
from .feed_connections import FeedConnections, prefixes
from .feed_reader import FeedReader
from .feed_timing import FeedTiming
from .marks import Marks
from .position_writer import PositionWriter
from .revocations import Shard
from .stream import Stream
from .unknown_kinds import UnknownKinds


class Feed:
    """Starts and stops the readers, and knows for which buckets entries are missing."""

    def __init__(
        self,
        url: RedisUrl,
        shards: Sequence[Shard],
        timing: FeedTiming,
        counters: GuardCounters,
        clock: Callable[[], float],
        marks: Marks,
        about: About,
    ) -> None:
        """Read nothing yet. `about`: what the guard says of itself."""
        self._primaries = PrimaryDiscovery(url, timing.timeout)
        unknown_kinds = UnknownKinds(counters)
        self._streams = [
            Stream(number, shard, unknown_kinds.met) for number, shard in enumerate(shards)
        ]
        groups = [self._streams] if self._primaries.one_for_all else [[it] for it in self._streams]
        status = FeedConnectionStatus(counters)
        self._shards, self._timing, self._about_us = shards, timing, about
        self._lost_since: float | None = None
        self._position = PositionWriter(
            self._primaries, self._streams, self._about, self._told, self._read_on, timing.timeout
        )
        ask = None if self._position.hears_wishes else self._position.ask
        told = prefixes(hears_wishes=ask is not None)
        self._connections = FeedConnections(self._primaries, told, timing.timeout)
        self._readers = [
            FeedReader(it, self._connections, timing, counters, status, clock, marks, ask)
            for it in groups
        ]
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, patience: float) -> bool:
        """Begin to read. Return whether all was read in `patience` seconds; it goes on anyway."""
        self._tasks = [asyncio.create_task(reader.run()) for reader in self._readers]
        self._position.start()
        try:
            async with asyncio.timeout(patience):
                for reader in self._readers:
                    await reader.read_in.wait()
        except TimeoutError:
            return False
        finally:
            self._position.begin()
        return True

    async def aclose(self) -> None:
        """Take leave, and stop reading."""
        await self._position.aclose()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._connections.aclose()
        await self._primaries.aclose()

    def incomplete_for(self, bucket: int) -> float:
        """Return for how many seconds entries of this bucket count as missing; 0: none do."""
        return max(self._streams[bucket].incomplete_until - time.monotonic(), 0)

    def _told(self, pause: float) -> None:
        """Have all readers rest as a wish allows."""
        for reader in self._readers:
            reader.pace.told(pause)

    def _read_on(self) -> None:
        """Have no reader rest: somebody waits for an entry."""
        for reader in self._readers:
            reader.pace.end_rest()

    def _about(self) -> About:
        """Say how old the knowledge is of the bucket of which least is known."""
        now = time.monotonic()
        known_until = min(shard.known_until for shard in self._shards)
        if now < known_until:
            self._lost_since = None
        elif self._lost_since is None:
            self._lost_since = now
        lost = -1.0 if self._lost_since is None else now - self._lost_since
        known = now + self._timing.bound - known_until if isfinite(known_until) else -1.0
        return structs.replace(
            self._about_us, known_ms=_milliseconds(known), lost_ms=_milliseconds(lost)
        )


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000) if seconds >= 0 else -1
