"""Brings events from the streams to one sink: at least once, those of a user in order.

Each stream is brought on by one process, which has a lease on it; all have equally many. What has
arrived is noted after it has: a process that is killed in between leaves it to come again.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import suppress

import structlog

from service.errors import StoreUnavailable
from service.events.event import ALL_STREAMS, AuditEvent, read_entries, stream_of
from service.redis.client import RedisClient
from service.redis.keys import position_of
from service.sinks.batch import Batch, Signer
from service.sinks.sink import Counts, Sink, SinkFailed
from service.sinks.state import Progress, SinkState
from service.sinks.stream import SIGN_EVERY, Stream
from service.sinks.tails import Tails

log = structlog.get_logger()

_PAUSE = 0.1
"""Seconds between two looks for what is new."""

_ELSEWHERE = 2.0
"""Seconds until it is asked again for a lease that another process has, and how many there are."""

_LEAST_TRIES = 4
"""Leases that are asked for at one look if any is lacking. What is too much is given back."""

_AT_ONCE = 8
"""Streams that are read at once: a reply that is too long would come too late."""


class Shipper:
    """Brings events to one sink."""

    def __init__(
        self,
        redis: RedisClient,
        sink: Sink,
        owner: bytes,
        sign: Signer,
        counts: Counts,
        tails: Tails | None = None,
    ) -> None:
        """Do nothing yet. `owner` names this process, no other one. `tails`: who looks for news."""
        self._tails = tails or Tails(redis)
        self._looks_itself = tails is None
        self._redis = redis
        self._sink = sink
        self._state = SinkState(redis, sink.name, owner)
        self._sign, self._counts = sign, counts
        self._streams = [Stream(bucket) for bucket in ALL_STREAMS]
        self._share = len(ALL_STREAMS)
        """How many streams are for this process to bring on; until it is known, all."""
        self._surplus = self._tries = 0
        self._join_at = 0.0
        self._blind_since: float | None = None  # s since 1970
        self._reads = asyncio.Semaphore(_AT_ONCE)

    async def run(self) -> None:
        """Bring events on until it is cancelled; then give the leases back."""
        try:
            while True:
                await self.look()
                await asyncio.sleep(_PAUSE)
        finally:
            await self.aclose()

    async def look(self) -> None:
        """Look once at all streams, and begin to bring on what is new. Never raises."""
        room = self._share - sum(each.progress is not None for each in self._streams)
        self._tries = max(room, _LEAST_TRIES) if room > 0 else 0
        self._surplus = max(-room, 0)
        if self._looks_itself:
            await self._tails.look([each.bucket for each in self._streams if each.progress])
        streams = [each for each in self._streams if self._surplus or not each.rests(self._tails)]
        random.shuffle(streams)  # nobody asks for the same first
        asked = self._join(), *map(self._look, streams)
        looks = await asyncio.gather(*asked, return_exceptions=True)
        failures = [error for error in looks if isinstance(error, Exception)]
        for error in failures:
            if not isinstance(error, StoreUnavailable):
                log.error("sink", sink=self._sink.name, exc_info=error)
        self._note_blindness(failures)
        since = [each.waiting_since for each in self._streams if each.waiting_since is not None]
        now = time.time()
        oldest = min(since) / 1000 if since else now
        self._counts.lag(self._sink.name, max(0.0, now - min(oldest, self._blind_since or oldest)))

    def _note_blindness(self, failures: Sequence[Exception]) -> None:
        """Say once why Redis cannot be read: what waits there is not known as long as it cannot."""
        if not failures:
            self._blind_since = None
        elif self._blind_since is None:
            self._blind_since = time.time()
            log.warning("sink cannot read", sink=self._sink.name, reason=str(failures[0]))

    async def settle(self) -> None:
        """Wait until what was begun has ended."""
        await asyncio.gather(*(each.task for each in self._streams if each.task is not None))

    async def aclose(self) -> None:
        """Leave off, give the leases back, and close the sink."""
        tasks = [each.task for each in self._streams if each.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        held = [each.bucket for each in self._streams if each.progress is not None]
        with suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.gather(self._state.leave(), *map(self._state.release, held))
        await self._sink.aclose()

    async def _join(self) -> None:
        """Say now and then that this process is there, and learn how many streams are its share."""
        now = time.monotonic()
        if now >= self._join_at:
            self._join_at = now + _ELSEWHERE
            self._share = await self._state.join()

    async def _look(self, stream: Stream) -> None:
        if stream.is_busy() or not await self._has_lease(stream):
            return
        if time.monotonic() < stream.not_before:
            return
        if events := await self._read(stream):
            stream.task = asyncio.create_task(self._bring_on(stream, events))

    async def _has_lease(self, stream: Stream) -> bool:
        """Take the lease, prolong it, or give it back, as this process' share is."""
        now = time.monotonic()
        if stream.progress is None:
            if now < stream.ask_at or not self._tries:
                return False
            self._tries -= 1
        elif self._surplus:
            self._surplus -= 1
            stream.lose(now + _ELSEWHERE)
            await self._state.release(stream.bucket)
            return False
        elif stream.left() > 0:
            return True
        stream.progress = None
        await self._hold(stream)
        if stream.progress is None:
            stream.lose(now + _ELSEWHERE)
        return stream.progress is not None

    async def _hold(self, stream: Stream) -> None:
        began = time.monotonic()
        progress = await self._state.hold(stream.bucket)
        if progress is not None and not progress.cursor:
            progress = Progress(await self._start(stream.bucket))
            if not await self._state.note(stream.bucket, progress):
                return
        stream.progress, stream.held_at = progress, began

    async def _start(self, bucket: int) -> str:
        newest = await self._redis.execute("XREVRANGE", stream_of(bucket), "+", "-", "COUNT", 1)
        starts = [self._sink.starts_behind.encode(), newest[0][0] if newest else b"0-0"]
        return min(starts, key=position_of).decode()

    async def _read(self, stream: Stream) -> list[AuditEvent]:
        assert stream.progress  # noqa: S101  of a lease that is held
        name, cursor = stream_of(stream.bucket), stream.progress.cursor
        async with self._reads:
            reply = await self._redis.execute(
                "XRANGE", name, f"({cursor}", "+", "COUNT", self._sink.at_once
            )
        events = read_entries(stream.bucket, reply)
        stream.waiting_since = events[0].position.ms if events else None
        return events

    async def _bring_on(self, stream: Stream, events: list[AuditEvent]) -> None:
        """Deliver these events and what follows them, until nothing does or something fails."""
        try:
            while events and stream.left() > 0 and await self._deliver(stream, events):
                if self._surplus:
                    break  # it may be another process' now
                events = await self._read(stream)
        except StoreUnavailable:
            stream.progress = None  # read anew: what was noted is not known
        except Exception as error:  # a defect must not end the sink
            log.error("sink", sink=self._sink.name, exc_info=error)
            stream.put_off(self._sink.retries)

    async def _deliver(self, stream: Stream, events: list[AuditEvent]) -> bool:
        """Deliver a batch and note what has arrived. Return whether there is more to do now."""
        before = stream.progress
        assert before  # noqa: S101  of a lease that is held
        batch = self._batch(stream, before, events)
        failure: SinkFailed | None = None
        try:
            arrived = await self._sink.deliver(batch, stream.left())
        except SinkFailed as error:
            failure, arrived = error, error.arrived
        now = before
        if arrived:
            is_whole = arrived == len(events)
            now = Progress(
                events[arrived - 1].position.entry,
                before.number + 1 if is_whole else before.number,
                batch.digest if is_whole else before.digest,
                before.parked,
            )
            stream.failures = 0
            self._counts.sent(self._sink.name, arrived)
        if failure is not None:
            now = self._failed(stream, now, events[arrived], failure)
        if now != before:
            if not await self._state.note(stream.bucket, now):
                stream.progress = None
                return False
            stream.progress = now
        return arrived > 0 if failure is None else failure.is_refused

    def _batch(self, stream: Stream, before: Progress, events: list[AuditEvent]) -> Batch:
        batch = Batch(before.number + 1, stream.bucket, before.digest, events)
        now = time.monotonic()
        if now - stream.signed_at < SIGN_EVERY:
            return batch
        if (signed := self._sign(batch.digest)) is not None:
            stream.signed_at = now
        return Batch(batch.number, batch.bucket, batch.before, events, signed)

    def _failed(
        self, stream: Stream, now: Progress, event: AuditEvent, failure: SinkFailed
    ) -> Progress:
        """Put the stream off, or pass over an event that has failed too often."""
        sink = self._sink
        self._counts.failed(sink.name)
        if failure.is_final:
            stream.failures = 0  # it is not tried again: what follows waits a moment, at the most
        if not failure.is_refused:
            stream.put_off(sink.retries)
        log.warning("sink failed", sink=sink.name, id=event.id, reason=str(failure))
        most = sink.retries.most
        if not failure.is_final and (most is None or stream.failures < most):
            return now
        stream.failures = 0
        self._counts.parked(sink.name)
        log.error("event parked; see events replay", sink=sink.name, id=event.id)
        return Progress(event.position.entry, now.number, now.digest, now.parked + 1)
