"""What a process has of all this: its fence, what looks at connections, what goes on beside it."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from redis.asyncio.connection import AbstractConnection
from sqlalchemy.ext.asyncio import AsyncEngine

from service.redis.client import RedisClient
from service.redis.comparisons import Comparisons
from service.redis.feed_marking import FeedMarking
from service.redis.fence import Fence
from service.redis.node import ConnectionCheck, Node
from service.redis.refusals import FenceUnknown
from service.rollback.dialects import to_its_end
from service.rollback.journal import Journal
from service.rollback.watch import Watch


class _Parts(NamedTuple):
    redis: RedisClient
    engine: AsyncEngine
    watch: Watch
    journal: Journal


class Rollback:
    """Fences what has gone back in time; or, without parts, nothing ever."""

    def __init__(
        self,
        check_rights: ConnectionCheck,
        parts: tuple[RedisClient, AsyncEngine, Watch, Journal] | None,
        waits_for: str,
    ) -> None:
        """Look at nothing yet. `waits_for`: what a fenced bucket waits for, for people."""
        self._check_rights = check_rights
        self._parts = _Parts(*parts) if parts else None
        self._waits_for = waits_for
        self.fence = self._parts.watch.fence if self._parts else Fence()

    async def start(self) -> None:
        """Read what the user store knows, before Redis is connected to. Never raises."""
        if self._parts is not None:
            await self._parts.watch.start()

    async def start_serving(self) -> None:
        """Look for the first time at what Redis has, and at the floors of codes; and say that this
        process runs. Never raises."""
        if self._parts is not None:
            await self._parts.watch.start_serving()
            await self._parts.watch.presence.start()  # now: who starts, too, need not wait for us

    async def check_connection(self, connection: AbstractConnection) -> None:
        """Look at a new connection: at our rights, then at what the server has."""
        if self._parts is None:
            await self._check_rights(connection)
            return
        self._parts.watch.begin()  # the user store and Redis answer at the same time
        await self._check_rights(connection)
        await self._parts.watch.check_connection(connection)

    async def check_own_connection(self, connection: AbstractConnection) -> None:
        """Do the same with one of the client that is not fenced, which connects again at once, also
        where nobody is served: so what is known here is told at once."""
        with suppress(FenceUnknown):  # nothing is known yet, which holds up whoever is served
            await self.check_connection(connection)

    async def check_buckets(self, node: Node, buckets: Sequence[int]) -> None:
        """Look at buckets that a server has got."""
        if self._parts is not None:
            await self._parts.watch.check_buckets(node, buckets)

    async def check_own_buckets(self, node: Node, buckets: Sequence[int]) -> None:
        """Do the same for the client that is not fenced."""
        with suppress(FenceUnknown):
            await self.check_buckets(node, buckets)

    def marking(self, redis: RedisClient, issuer: str) -> FeedMarking:
        """Make what marks the feeds, but those of buckets that have gone back."""
        if self._parts is None:
            return FeedMarking(redis, issuer)
        marking = FeedMarking(self._parts.redis, issuer, self._parts.watch.expected)
        self._parts.watch.on_change = marking.wake
        return marking

    def comparisons(self, redis: RedisClient, issuer: str, *, on: bool) -> Comparisons:
        """Make what compares for guards; or, not `on`, takes away what they would wait for."""
        if self._parts is None or not on:
            return Comparisons(redis, issuer, None)
        return Comparisons(self._parts.redis, issuer, self._least, self._parts.watch.marks.note)

    async def _least(self) -> Sequence[int]:
        """Return what each bucket must have. `FenceUnknown`: others have not told theirs yet."""
        assert self._parts  # noqa: S101  nothing is compared without
        least = await self._parts.watch.read()
        if self.fence.awaited:
            raise FenceUnknown
        return least

    @property
    def redis(self) -> RedisClient | None:
        """The client that is not fenced, if there is one."""
        return self._parts and self._parts.redis

    @property
    def problem(self) -> str:
        """What is wrong, in a sentence; empty when nothing is."""
        if not self.fence.buckets:
            return ""
        if not self.fence.behind:
            return "Redis has started anew, and not all processes have told what they have ended."
        return (
            f"Redis has gone back in time in {len(self.fence.behind)} of 64 buckets, which are "
            f"not served until {self._waits_for}."
        )

    def figures(self) -> tuple[int, float, int]:
        """How many buckets have gone back, how far the journal is behind (seconds), how many were
        replayed by this process."""
        journal = self._parts.journal if self._parts else None
        lag, replayed = (journal.lag, journal.went_back) if journal else (0.0, 0)
        return len(self.fence.behind), lag, replayed

    async def run(self) -> None:
        """Compare, and write the journal, until it is cancelled."""
        if self._parts is None:
            return
        async with asyncio.TaskGroup() as tasks:  # which ends when all have
            tasks.create_task(self._parts.watch.presence.run())
            tasks.create_task(self._parts.watch.run())
            tasks.create_task(self._parts.journal.run())

    @to_its_end
    async def aclose(self) -> None:
        """Close all connections, once what is under way has ended."""
        if self._parts is not None:
            await self._parts.redis.aclose()  # first: each of its connections reads the user store
            await self._parts.watch.aclose()
            await self._parts.watch.presence.end()
            await self._parts.engine.dispose()
