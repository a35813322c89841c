"""The connections that the readers of the feed read over: one to each server.

Where a server does not say what is written (its ACL or its version, or a proxy before it), and
while a slot is being imported, each reader has one of its own, and reads that block.
"""

import asyncio
import logging
import time
from collections.abc import Collection

from redis import exceptions

from ..redis.keys import numbered
from ..redis.url import Address
from .blocking_connection import BlockingConnection
from .discovery import PrimaryDiscovery
from .feed_connection import FeedConnection
from .tracked_connection import TrackedConnection

logger = logging.getLogger("openshow_auth.guard")

_REFUSED_FOR = 60.0
"""Seconds for which a server that refuses is not asked again: its ACL LOG may be watched."""
_OFTEN = 2
"""A connection that breaks so many times in succession when it is asked leads to a proxy."""


class FeedConnections:
    """Opens connections, and shares them among readers whose buckets lie on one server."""

    def __init__(
        self, primaries: PrimaryDiscovery, prefixes: tuple[bytes, ...], patience: float
    ) -> None:
        """Connect to none yet. `prefixes` of streams that the servers tell of; `patience` in s."""
        self.primaries = primaries
        self._prefixes = prefixes
        self._patience = patience
        self._opened: dict[Address | None, asyncio.Task[TrackedConnection | None]] = {}
        self._refused_until: dict[Address | None, float] = {}
        self._broke: dict[Address | None, int] = {}
        self._is_told = False

    async def connect(
        self, bucket: int, address: Address | None, keys: Collection[bytes]
    ) -> FeedConnection:
        """Connect to what `find` has found for a bucket, for a reader of these streams.

        Raises:
            one of BROKEN: it cannot be reached.
        """
        if not self.primaries.is_importing(bucket):
            tracked = await self._tracked(address)
            if tracked is not None:
                self.primaries.reached(bucket, address)
                return tracked.join(keys, alone=self.primaries.one_for_all)
        wire = await self.primaries.connect(bucket, address)
        return BlockingConnection(wire, self._patience)

    async def aclose(self) -> None:
        """Open no more, and close what nobody reads over."""
        for task in self._opened.values():
            task.cancel()
        for opened in await asyncio.gather(*self._opened.values(), return_exceptions=True):
            if isinstance(opened, TrackedConnection):
                await opened.wire.close()

    async def _tracked(self, address: Address | None) -> TrackedConnection | None:
        """Return the connection that the readers of this server share; the first one opens it."""
        while time.monotonic() >= self._refused_until.get(address, 0.0):
            opened = self._opened.get(address)
            if opened is None or _is_over(opened):
                opened = asyncio.create_task(self._open(address))
                self._opened[address] = opened
            tracked = await asyncio.shield(opened)
            if tracked is not None and not tracked.is_over:
                return tracked
        return None

    async def _open(self, address: Address | None) -> TrackedConnection | None:
        wire = await self.primaries.connect_for_several(address)
        try:
            tracked = await TrackedConnection.over(wire, self._prefixes, self._patience)
        except exceptions.ConnectionError:
            self._broke[address] = self._broke.get(address, 0) + 1
            if self._broke[address] < _OFTEN:
                raise
            tracked = None
        self._broke.pop(address, None)
        if tracked is None:
            self._refused_until[address] = time.monotonic() + _REFUSED_FOR
            if not self._is_told:
                logger.info(
                    "Redis does not tell this guard what is written, so it waits by reads that "
                    "block; see docs/guard.md"
                )
            self._is_told = True
        return tracked


def _is_over(opened: asyncio.Task[TrackedConnection | None]) -> bool:
    """Tell whether an attempt has failed, or what it has opened is of no use any more."""
    if not opened.done():
        return False
    if opened.cancelled() or opened.exception() is not None:
        return True
    tracked = opened.result()
    return tracked is None or tracked.is_over


def prefixes(*, hears_wishes: bool) -> tuple[bytes, ...]:
    """Return those of the streams that entries come by all the time.

    `hears_wishes`: the readers of the feed do, also for the report.
    """
    names = [numbered(0).revoked, *([numbered(0).asked] if hears_wishes else ())]
    return tuple(name.partition(b"{")[0] + b"{" for name in names)
