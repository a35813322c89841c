"""Notices that Redis has gone back in time, and fences the buckets in which it has."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import structlog
from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from service.errors import StoreUnavailable
from service.redis.client import RedisClient
from service.redis.fence import Fence
from service.redis.keys import BUCKETS, numbered
from service.redis.node import Node
from service.redis.refusals import FenceUnknown
from service.rollback.floors import Floors
from service.rollback.known import Known
from service.rollback.marks import Marks
from service.rollback.own_entries import OwnEntries
from service.rollback.peers import Peers
from service.rollback.publishing import Publishing
from service.rollback.reading import Numbers, floors_of, number_in, numbers_of, numbers_on
from service.rollback.store import RollbackStore

log = structlog.get_logger()

_EVERY = 2.0
"""Seconds between two comparisons without a reason."""

_WHILE_FENCED, _LATER, _SOON_IS_OVER = 0.1, 1.0, 10.0
"""Seconds between two while a bucket is fenced: at first, and once it has been for so long."""

_FIRST_PATIENCE = 2.0
"""Seconds that a start waits for the user store."""

_PATIENCE = 0.2
"""Seconds that a new connection waits for the user store, within the time that it may take."""


class Watch:
    """Compares what Redis has with what it had. Its fence is that of the clients that serve."""

    def __init__(
        self,
        redis: RedisClient,
        store: RollbackStore,
        fence: Fence,
        floors: Floors,
        patience: float = _PATIENCE,
        *,
        serves: bool = True,
    ) -> None:
        """Take the stores. `redis` must not be fenced.

        `patience`: seconds that a new connection waits for the user store; then what is known from
        before counts. A command, which does not serve, says itself what is fenced, not in a log.
        """
        self._patience = patience
        self._serves = serves
        self._redis = redis
        self._store = store
        self._floors = floors
        self.fence = fence
        self._soon = asyncio.Event()
        self._own = OwnEntries(fence)
        self.marks = Marks(redis, logs=serves)
        self._known = Known(store, self.marks)
        self._publishing = Publishing(store, fence, self._known)
        fence.on_lost, fence.on_forgotten = self._publishing.begin, self._soon.set
        self.presence = store.presence
        self._peers = Peers(redis, store.owner, fence, tells=serves)
        self._fenced, self._fenced_at = 0, 0.0
        self.woken = asyncio.Event()
        """Set when a bucket was fenced."""
        self.on_change: Callable[[], None] = lambda: None
        """Called when buckets are fenced, and when they are served again."""

    async def start(self, patience: float = _FIRST_PATIENCE) -> None:
        """Read the fence for the first time, before anything is connected to. Never raises.

        Until it has been read nobody is served from Redis.
        """
        with suppress(FenceUnknown):
            await self.read(patience)

    async def start_serving(self, patience: float = _FIRST_PATIENCE) -> None:
        """Compare for the first time, if the stores answer soon. Never raises.

        Before it has, no code is judged in a Redis that is new.
        """
        with suppress(TimeoutError, StoreUnavailable, FenceUnknown, exceptions.RedisError):
            async with asyncio.timeout(patience):
                await self.look()

    async def check_connection(self, connection: AbstractConnection) -> None:
        """Compare the buckets of a server, before a connection to it is used. First `begin`.

        Raises:
            FenceUnknown: this process has not read the fence yet, and the user store is away.
            redis.exceptions.RedisError, OSError: the server does not tell its numbers.
        """
        expected = await self.read(self._patience, is_begun=True)
        numbers = await numbers_on(connection)
        expected = _with(expected, await self._own.look_on(connection, numbers))
        earlier = await self.marks.gone_back_on(connection, numbers)
        if self._fence_lower(expected, numbers) or earlier:
            await self._floors.raise_on(connection, numbers)
            self.marks.accept(earlier)
        # Last: once others have heard us they serve.
        await self._peers.join_on(connection, expected, numbers, self._known.living)
        self._fence_lower(self.expected(), numbers)
        self._soon.set()

    async def check_buckets(self, node: Node, buckets: Sequence[int]) -> None:
        """Compare buckets that a server has got, before they are served from it."""
        expected = await self.read(self._patience)
        numbers: dict[int, int] = {}

        async def look(bucket: int) -> None:
            with suppress(exceptions.RedisError, OSError):  # who serves it meets the same
                command = ("GET", numbered(bucket).revocations)
                try:
                    numbers[bucket] = number_in(await node.ask(command, False))
                except exceptions.ClusterDownError:  # so its next connection is looked at
                    await node.drop("what it has cannot be looked at yet")

        await asyncio.gather(*map(look, buckets))
        expected = _with(expected, await self._own.look_at(node, numbers))
        if self._fence_lower(expected, numbers):
            await self._floors.raise_at(node, buckets)
        await self._peers.join_at(node, expected, numbers)

    async def run(self) -> None:
        """Compare again and again, until it is cancelled."""
        while True:
            try:
                await self.look()
            except (StoreUnavailable, FenceUnknown):  # readiness tells of it
                pass
            except Exception as error:  # a defect must not end it: nobody would start it again
                log.error("rollback.watch", exc_info=error)
            await asyncio.sleep(_WHILE_FENCED)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause() - _WHILE_FENCED):
                    await self._soon.wait()
            self._soon.clear()

    async def aclose(self) -> None:
        """Tell what this process has answered for, and wait for what is under way."""
        await self._publishing.aclose()
        await self._known.aclose()

    async def look(self) -> None:
        """Compare all buckets, and serve those again that have caught up; lay floors.

        Raises:
            StoreUnavailable: Redis does not tell.
            FenceUnknown: nor has the user store ever told.
        """
        told = await self._peers.hear()
        fenced, before = self._fenced, self.fence.behind
        expected = await self.read(max(1.0, self._patience))
        numbers = await numbers_of(self._redis)
        is_latest = fenced == self._fenced  # else somebody has just seen another Redis
        self._fence_lower(expected, numbers)
        if is_latest:
            risen = {each for each in before if numbers.get(each, -1) >= expected[each]}
            # It may be others who have written, as they were not told yet.
            lost = await self._own.look_by(self._redis, {each: numbers[each] for each in risen})
            released = risen - lost.keys()
            if released:
                self.fence.close(behind=self.fence.behind - released)
                log.warning("redis.served", buckets=len(released), fenced=len(self.fence.buckets))
                self.on_change()
        self._peers.release(told)
        floors = await floors_of(self._redis)
        await self._peers.tell(expected, numbers, floors)
        doubted = await self._floors.doubt(floors, numbers, self.expected())
        if doubted:
            self.know({**(self._known.numbers or {}), **doubted})
            self._fence_lower(self.expected(), numbers)
        await self._floors.look(floors)

    def expected(self) -> list[int]:
        """Return what each bucket must have at least, as far as this process knows."""
        known, answered = self._known.numbers or {}, self.fence.answered
        return [max(known.get(bucket, 0), answered[bucket]) for bucket in range(BUCKETS)]

    def know(self, known: Mapping[int, int]) -> None:
        """Take over a fence that was just read."""
        self._known.numbers = known

    def notice(self, expected: Sequence[int], numbers: Numbers) -> dict[int, int]:
        """Fence the buckets that have less than was expected before `numbers` were read.

        Return what is expected there, by bucket.
        """
        self._fence_lower(expected, numbers)
        return {
            bucket: expected[bucket]
            for bucket, number in numbers.items()
            if number < expected[bucket]
        }

    def begin(self) -> None:
        """Begin to read the fence anew, unless somebody is reading it."""
        self._known.begin(also_living=True)

    async def read(self, patience: float = 0, *, is_begun: bool = False) -> list[int]:
        """Read the fence anew, if the user store tells it soon; return what is expected."""
        if not is_begun:
            self._known.begin()
        await self._known.read(patience or self._patience)
        return self.expected()

    def _fence_lower(self, expected: Sequence[int], numbers: Numbers) -> bool:
        """Fence the buckets that have less than is expected, and tell whether there are any."""
        lower = {bucket for bucket, number in numbers.items() if number < expected[bucket]}
        if not lower:
            return False
        news = lower - self.fence.behind
        self._fenced += 1
        self.fence.close(behind=self.fence.behind | lower)
        if news:
            self._fenced_at = time.monotonic()
            self.on_change()
        if news and self._serves:
            log.error(
                "redis.wentBack",
                buckets=len(news),
                lost=sum(expected[bucket] - numbers[bucket] for bucket in news),
            )
        self._publishing.begin()
        self.woken.set()
        return True

    def _pause(self) -> float:
        if self.fence.awaited:
            return _WHILE_FENCED
        if not self.fence.behind:
            return _EVERY
        is_new = time.monotonic() - self._fenced_at < _SOON_IS_OVER
        return _WHILE_FENCED if is_new else _LATER


def _with(expected: Sequence[int], lost: Mapping[int, int]) -> list[int]:
    """Expect more of the buckets that have lost an entry. (All else as before they were read.)"""
    return [lost.get(bucket, number) for bucket, number in enumerate(expected)]
