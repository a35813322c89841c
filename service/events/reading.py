"""Reads audit events out of all streams: by pages, newest first, and on from the present.

It sends `XRANGE` and `XREVRANGE` only, so that a Redis user who may do no more can read them.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import msgspec

from service.errors import InvalidField, Overloaded, StoreUnavailable
from service.events.event import ALL_STREAMS, AuditEvent, Position, read_entries, stream_of
from service.redis.client import RedisClient
from service.redis.keys import bucket_number

MOST = 1_000
"""The most events of a page."""

_LOOKED_AT = 20_000
"""Events looked at for a page at the most. A page that hits this bound may be short."""

_AT_ONCE = 100
"""Entries asked for at once in a stream."""

_PAGES = 4
"""Pages that are read at once: each asks all streams, and has thousands of events in memory."""

_PATIENCE = 1.0
"""Seconds that a page waits for its turn."""

_PAUSE = 0.25
"""Seconds between two looks for what is new."""


class EventPage(msgspec.Struct, frozen=True):
    """Some events, newest first, and the `after` of the next page; `None` at the end."""

    events: list[AuditEvent]
    next: str | None


class EventFilter(msgspec.Struct, frozen=True):
    """Which events are wanted: of a user, of a type; `None`: of whichever."""

    user: bytes | None = None
    type: str | None = None

    def buckets(self) -> Iterable[int]:
        """Tell which streams can have some."""
        return ALL_STREAMS if self.user is None else (bucket_number(self.user),)

    def takes(self, event: AuditEvent) -> bool:
        """Tell whether an event is wanted."""
        return (self.user is None or event.user == self.user.hex()) and (
            self.type is None or event.type == self.type
        )


class EventReader:
    """Reads the audit events that are kept. Any method may raise `StoreUnavailable`."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._pages = asyncio.Semaphore(_PAGES)

    async def page(
        self,
        *,
        user: bytes | None = None,
        type: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> EventPage:
        """Read events, newest first, of all users or one, of all types or one.

        `after` is the `next` of the page before, or the id of any event: what follows it in this
        order, that is older, comes. Where few match, a page may be short, even empty, though
        another follows: it looks at 20,000 events at most.

        Raises:
            InvalidField: `after` is no id, or `limit` is not 1 to 1,000.
            Overloaded: too many others are being read.
        """
        if not 1 <= limit <= MOST:
            raise InvalidField("limit", f"limit must be 1 to {MOST:,}.")
        start = None if after is None else position_of(after)
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._pages.acquire()
        except TimeoutError:
            raise Overloaded(1) from None
        try:
            return await self._page(EventFilter(user, type), start, limit)
        finally:
            self._pages.release()

    async def _page(self, wanted: EventFilter, start: Position | None, limit: int) -> EventPage:
        merged = _Merged(self._redis, wanted.buckets(), start)
        found: list[AuditEvent] = []
        event = await merged.first()
        for _ in range(_LOOKED_AT):
            if event is None or len(found) == limit:
                break
            if wanted.takes(event):
                found.append(event)
            last, event = event, await merged.following(event)
        return EventPage(found, None if event is None else last.id)

    async def follow(
        self,
        wanted: EventFilter,
        after: str | None = None,
        told: Callable[[StoreUnavailable], object] = lambda error: None,
    ) -> AsyncIterator[list[AuditEvent]]:
        """Yield events as they are written, without end, oldest first; those of a user in order.

        It begins with what is written from now on, or with what is newer than the event `after`,
        and yields an empty batch then. Each failure to read is `told`; then it is tried again.

        Raises:
            InvalidField: `after` is no id.
        """
        start = None if after is None else position_of(after)
        last: dict[int, str] = {}
        for bucket in wanted.buckets():
            last[bucket] = entry_before(start, bucket) if start else await self._newest(bucket)
        yield []
        while True:
            newer = (self._newer(bucket, entry) for bucket, entry in last.items())
            replies = await asyncio.gather(*newer, return_exceptions=True)
            batch: list[AuditEvent] = []
            for reply in replies:
                if isinstance(reply, StoreUnavailable):
                    told(reply)
                elif isinstance(reply, BaseException):
                    raise reply
                else:
                    batch += reply
            for event in batch:
                last[event.position.bucket] = event.position.entry
            if found := sorted(filter(wanted.takes, batch), key=lambda each: each.position):
                yield found
            if len(batch) < _AT_ONCE:
                await asyncio.sleep(_PAUSE)

    async def _newest(self, bucket: int) -> str:
        entries = await self._redis.execute("XREVRANGE", stream_of(bucket), "+", "-", "COUNT", 1)
        return entries[0][0].decode() if entries else "0-0"

    async def _newer(self, bucket: int, entry_id: str) -> list[AuditEvent]:
        return read_entries(
            bucket,
            await self._redis.execute(
                "XRANGE", stream_of(bucket), f"({entry_id}", "+", "COUNT", _AT_ONCE
            ),
        )


class _Merged:
    """The events of some streams as one sequence, newest first, asked for as they are needed."""

    def __init__(self, redis: RedisClient, buckets: Iterable[int], after: Position | None) -> None:
        """Ask for nothing yet. The sequence begins behind `after`."""
        self._redis = redis
        self._starts = {bucket: _behind(after, bucket) for bucket in buckets}
        self._waiting: list[tuple[int, int, int]] = []
        self._known: dict[tuple[int, int, int], AuditEvent] = {}
        self._left: dict[int, int] = {}

    async def first(self) -> AuditEvent | None:
        """Return the newest event; `None`: there is none."""
        await asyncio.gather(*(self._ask(bucket, at) for bucket, at in self._starts.items()))
        return self._pop()

    async def following(self, event: AuditEvent) -> AuditEvent | None:
        """Return what follows `event`, which was the last that was returned."""
        bucket = event.position.bucket
        if not self._left[bucket]:
            await self._ask(bucket, f"({event.position.entry}")
        return self._pop()

    def _pop(self) -> AuditEvent | None:
        if not self._waiting:
            return None
        event = self._known.pop(heapq.heappop(self._waiting))
        self._left[event.position.bucket] -= 1
        return event

    async def _ask(self, bucket: int, before: str) -> None:
        reply: Any = await self._redis.execute(
            "XREVRANGE", stream_of(bucket), before, "-", "COUNT", _AT_ONCE
        )
        self._left[bucket] = len(reply)
        for event in read_entries(bucket, reply):
            at = event.position
            key = (-at.ms, -at.counter, -at.bucket)
            self._known[key] = event
            heapq.heappush(self._waiting, key)


def position_of(after: str) -> Position:
    """Read the id of an event. Raises `InvalidField`."""
    try:
        return Position.parse(after)
    except ValueError as error:
        raise InvalidField("after", f"after {error}.") from None


def _behind(after: Position | None, bucket: int) -> str:
    """Spell the newest entry of a stream that may follow `after`, newest first."""
    if after is None:
        return "+"
    return after.entry if bucket < after.bucket else f"({after.entry}"


def entry_before(after: Position, bucket: int) -> str:
    """Spell the entry behind which the stream goes on after `after`, oldest first."""
    if bucket <= after.bucket:
        return after.entry
    if after.counter:
        return f"{after.ms}-{after.counter - 1}"
    return f"{max(after.ms - 1, 0)}-{2**63}"
