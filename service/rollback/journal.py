"""Writes the journal and the fence, in the one process that holds the lease; it replays, too."""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

import structlog

from service.errors import StoreRefuses, StoreUnavailable
from service.redis.bounded_gather import map_few_at_once
from service.redis.client import RedisClient
from service.redis.keys import numbered
from service.rollback.entries import Batch, Entry
from service.rollback.marks import latest_of
from service.rollback.reading import Numbers, entries_after, numbers_of
from service.rollback.replay import Replay, Replayed
from service.rollback.store import Heads, RollbackStore
from service.rollback.watch import Watch

log = structlog.get_logger()

_EVERY = 0.4
"""Seconds between two looks at the feeds. The fence follows a move within a second."""

_ELSEWHERE = 1.0
"""Seconds between two tries to take a lease that another process holds."""

_WHEN_REFUSED = 1.0
"""Seconds until it is tried again what Redis has refused."""

_HOLD_EVERY = 1.0
"""Seconds between two looks at the lease, which ends later."""

_PRUNE_EVERY = 300.0
_NOTE_EVERY = 15.0
_LARGEST = 500
"""Entries in a batch, at the most."""
_WRITTEN_AT_ONCE = 64


class Journal:
    """Follows all feeds while this process holds the lease."""

    def __init__(
        self,
        redis: RedisClient,
        store: RollbackStore,
        watch: Watch,
        replay: Replay | None,
        life: timedelta,
        hold_every: float = _HOLD_EVERY,
    ) -> None:
        """Take the stores. `redis` must not be fenced.

        `replay`: does again what was lost; `None`: an operator has to say so. `life`: how long an
        entry can matter, which is that of a session. `hold_every`: seconds between two looks at
        the lease.
        """
        self._hold_every = hold_every
        self._redis = redis
        self._store = store
        self._watch = watch
        self._replay = replay
        self._life = life // timedelta(milliseconds=1)
        self._heads: dict[int, tuple[int, str]] | None = None
        self._seen: dict[int, int] = {}
        self._behind_since: float | None = None
        self._lag = 0.0
        self._held_at = self._pruned_at = self._noted_at = float("-inf")
        self.went_back = 0
        """How many times this process has done a bucket again."""

    @property
    def lag(self) -> float:
        """Seconds that the journal is behind; 0 where another process writes it."""
        if self._behind_since is not None:
            return max(self._lag, time.monotonic() - self._behind_since)
        return self._lag

    async def run(self) -> None:
        """Follow the feeds until it is cancelled, then give the lease back."""
        try:
            while True:
                await self._survive()
                pause = _ELSEWHERE if self._heads is None else _EVERY
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._watch.woken.wait()
                self._watch.woken.clear()
        finally:
            with suppress(StoreUnavailable):
                await self._store.release()

    async def _survive(self) -> None:
        try:
            await self.turn()
        except StoreUnavailable as error:  # readiness tells of it; the lag grows
            if self._heads is not None:
                self._behind_since = self._behind_since or time.monotonic()
            if isinstance(error, StoreRefuses):  # which may not pass by itself, and is in the log
                await asyncio.sleep(_WHEN_REFUSED)
        except Exception as error:  # a defect must not end it: nobody would start it again
            log.error("rollback.journal", exc_info=error)

    async def turn(self) -> bool:
        """Write what is new, if this process holds the lease or gets it. Tell whether it does.

        Raises:
            StoreUnavailable: Redis or the user store is away.
        """
        now = time.monotonic()
        is_due = now - self._held_at >= self._hold_every
        if self._heads is None or is_due or self._watch.fence.buckets:
            if not await self._store.hold():
                self._heads, self._lag, self._behind_since = None, 0.0, None
                return False
            self._held_at = now
            self._watch.know(await self._store.numbers())
        if self._heads is None:
            self._heads, self._seen = await self._store.heads(), {}
        expected = self._watch.expected()
        numbers = await numbers_of(self._redis)
        lost = self._watch.notice(expected, numbers)
        if lost:  # others may have answered for more by now
            self._watch.know(await self._store.numbers())
            expected = self._watch.expected()
            numbers = await numbers_of(self._redis)
            lost = self._watch.notice(expected, numbers)
        if lost and self._replay is not None:
            await self._do_again(self._replay, numbers, lost)
        await self._follow(numbers, lost)
        if time.monotonic() - self._pruned_at > _PRUNE_EVERY:
            await self._store.prune(self._life)
            self._pruned_at = time.monotonic()
        if time.monotonic() - self._noted_at > _NOTE_EVERY and not self._watch.fence.buckets:
            await self._store.note_marks(await latest_of(self._redis))
            self._noted_at = time.monotonic()
        return True

    async def _do_again(self, replay: Replay, numbers: Numbers, lost: Mapping[int, int]) -> None:
        await self._store.raise_to(lost)  # what this process has answered for, too

        async def one(bucket: int) -> None:
            done = await replay.run(bucket, numbers[bucket], lost[bucket], _tell)
            if done is not None:
                self.went_back += 1

        # First, as those who connect afterwards see nothing any more that was lost.
        await asyncio.gather(*map(replay.use_up, self._beside(numbers.keys() - lost.keys(), lost)))
        await map_few_at_once(one, lost)

    def _beside(self, others: Collection[int], lost: Collection[int]) -> list[int]:
        """Return those of the other buckets that are on the server of one that has gone back."""

        def server(bucket: int) -> object:
            return self._redis.server_of(numbered(bucket).revocations)

        gone_back = {server(bucket) for bucket in lost}
        if None in gone_back:  # whose they were is not known: all may have
            return list(others)
        return [bucket for bucket in others if server(bucket) in {*gone_back, None}]

    async def _follow(self, numbers: Numbers, without: Mapping[int, int]) -> None:
        """Write what the feeds have got since the last time."""
        heads = self._heads
        assert heads is not None  # noqa: S101  read before
        moved = [
            bucket
            for bucket, number in numbers.items()
            if bucket not in without
            and number > max(heads.get(bucket, (0, ""))[0], self._seen.get(bucket, 0))
        ]
        if not moved:
            self._lag, self._behind_since = 0.0, None
            return
        self._behind_since = self._behind_since or time.monotonic()
        batches = await self._read(moved, heads)
        for start in range(0, len(batches), _WRITTEN_AT_ONCE):
            some = batches[start : start + _WRITTEN_AT_ONCE]
            if not await self._store.append(some, heads):
                self._heads = None
                return
            heads |= {batch.bucket: (batch.last, batch.entries[-1].id) for batch in some}
        if batches:
            oldest = min(batch.entries[0].milliseconds for batch in batches)
            self._lag = max(0.0, time.time() - oldest / 1000)
        untold = {each: numbers[each] for each in moved if heads.get(each, (0, ""))[0] == 0}
        self._seen |= {bucket: numbers[bucket] for bucket in moved}
        await self._store.raise_to(untold)  # a feed that was taken away
        self._behind_since = None

    async def _read(self, moved: Sequence[int], heads: Heads) -> list[Batch]:
        async def one(bucket: int) -> list[Batch]:
            number, id_ = heads.get(bucket, (0, ""))
            entries = await entries_after(self._redis, bucket, number, id_)
            return batches_of(bucket, entries, number)

        return [batch for batches in await map_few_at_once(one, moved) for batch in batches]


def _tell(done: Replayed) -> None:
    log.warning(
        "redis.replayed",
        bucket=done.bucket,
        had=done.had,
        expected=done.expected,
        entries=done.entries,
        ended=done.ended,
        cutOff=done.cut_off,
        acknowledged=done.is_acknowledged,
    )


def batches_of(bucket: int, entries: Sequence[Entry], head: int) -> list[Batch]:
    """Put entries that follow the one with this number into batches, parted where one misses."""
    batches: list[Batch] = []
    start, last = 0, head
    for place, entry in enumerate(entries):
        if place > start and (entry.number != last + 1 or place - start == _LARGEST):
            batches.append(_batch(bucket, entries[start:place], head))
            start, head = place, last
        last = entry.number
    if entries:
        batches.append(_batch(bucket, entries[start:], head))
    return batches


def _batch(bucket: int, entries: Sequence[Entry], before: int) -> Batch:
    return Batch(bucket, tuple(entries), entries[0].number <= before + 1)
