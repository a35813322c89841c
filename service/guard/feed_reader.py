"""Reads streams of the feed of one server, over one connection at a time.

That a shard is complete is proved by one thing only: a read that did not block, saw the mark of
this guard's issuer, found the last known entry still there, and came to the end. It is repeated
four times per bound, on the same connection; what is read in between only brings entries early. So
a server that was swapped, rolled back or emptied, a line that is cut and a process that was stopped
are all noticed within the bound.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from math import ceil

from redis.exceptions import ResponseError, TryAgainError

from ..redis.url import Address
from .connection import BROKEN, Argument
from .connection_status import FeedConnectionStatus
from .control_streams import ControlStreams
from .counters import GuardCounters
from .cursor import Replay
from .entries import Entry, RawEntry, read_entries
from .feed_connection import FeedConnection
from .feed_connections import FeedConnections
from .feed_timing import FeedTiming
from .marks import Marks
from .reading_pace import ReadingPace
from .stream import Stream

logger = logging.getLogger("openshow_auth.guard")

_PAGE = 4096
"""Entries in one reply at most: parsing them holds up the loop for some milliseconds."""
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
_MOST_HOPS = 5
"""Redirections that are followed from node to node at once, before a pause."""


class FeedReader:
    """Follows some streams that one server has."""

    def __init__(
        self,
        streams: Sequence[Stream],
        connections: FeedConnections,
        timing: FeedTiming,
        counters: GuardCounters,
        status: FeedConnectionStatus,
        clock: Callable[[], float],
        marks: Marks,
        on_asked: Callable[[float], object] | None,
    ) -> None:
        """Read nothing yet. `clock`: seconds since 1970, by which tokens are judged."""
        self._streams = {stream.key: stream for stream in streams}
        self._bucket = streams[0].bucket
        self._control = ControlStreams(self._bucket, timing.bound, on_asked)
        self._connections, self._primaries = connections, connections.primaries
        self._timing, self._marks = timing, marks
        self._counters, self._status, self._clock = counters, status, clock
        self._page, self.pace = _PAGE // len(streams), ReadingPace()
        self._address: Address | None = None
        self._pause, self._hops = _SHORTEST_PAUSE, 0
        self._is_moving = False  # the bucket, to another node of the cluster
        self.read_in = asyncio.Event()
        """Set once everything was read for the first time."""

    async def run(self) -> None:
        """Follow until cancelled, whatever happens to the server."""
        while True:
            try:
                if await self._followed():
                    continue
            except Exception as defect:  # it must not end the feed for good, without a word
                self._status.failed(self._bucket, defect)
            await asyncio.sleep(self._pause)
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    async def _followed(self) -> bool:
        """Follow over one connection. Whether to go on at once, with the next."""
        try:
            await self._follow()
            return True
        except ResponseError as refusal:
            self._hops += 1
            redirected = self._primaries.redirected(self._bucket, refusal, self._address)
            self._is_moving = redirected or isinstance(refusal, TryAgainError)
            if redirected and self._hops <= _MOST_HOPS:
                return True
            self._status.broken(self._bucket, refusal)
        except BROKEN as error:
            self._primaries.discard(self._bucket)
            self._status.broken(self._bucket, error)
        return False

    async def _follow(self) -> None:
        """Read over one connection, until it breaks or another server is the primary."""
        if not self._is_moving:  # else whoever has it now got it from the one that was compared
            self._control.await_comparison()
        self._is_moving = False
        self._address = await self._primaries.find(self._bucket)
        was_importing = self._primaries.is_importing(self._bucket)
        keys = [*self._streams, *self._control.keys]
        wire = self.pace.wire = await self._connections.connect(self._bucket, self._address, keys)
        try:
            while True:
                began = time.monotonic()
                if await self._primaries.find(self._bucket) != self._address:
                    return
                if was_importing and not self._primaries.is_importing(self._bucket):
                    self._is_moving = True  # the slot is there: read with the node's others
                    return
                await self._confirm(wire, began)
                self._pause, self._hops = _SHORTEST_PAUSE, 0
                self._status.mended(self._bucket)
                if self._control.is_compared and len(self._ours()) == len(self._streams):
                    self.read_in.set()
                await self._tail(wire, began + self._timing.check_interval)
        finally:
            await wire.close()

    async def _confirm(self, wire: FeedConnection, began: float) -> None:
        """Prove that all entries up to `began` are known, reading whatever is not yet.

        Nothing is taken from a stream that is not marked as this guard's issuer's.
        """
        found = await self._look(wire, began)
        streams = self._ours()
        broken, unfinished = [], []
        for stream in streams:
            entries = found.get(stream.key, [])
            more = len(entries) >= self._page
            if not stream.goes_on(entries):
                broken.append(stream)
            elif more:
                unfinished.append(stream)
        while unfinished:
            found = await self._read(wire, [(it, it.cursor.position) for it in unfinished])
            read = [(stream, found.get(stream.key, [])) for stream in unfinished]
            broken += [stream for stream, entries in read if not stream.take(entries)]
            unfinished = [
                stream
                for stream, entries in read
                if len(entries) >= self._page and stream not in broken
            ]
        await self._reread(wire, broken)
        wall = self._clock() - (time.monotonic() - began)
        for stream in streams:
            stream.set_complete(began, self._control.trusted_for(began), wall)

    async def _look(self, wire: FeedConnection, began: float) -> dict[bytes, list[Entry]]:
        """Read the last known entry of each stream, what comes after it, and whose the marks are.

        Mark and stream lie in one slot. While that moves key by key, one of them may be there and
        the other here; then the stream alone is read, and its mark is taken to be as it was.
        """
        streams = list(self._streams.values())
        positions = [(stream, stream.cursor.before_last) for stream in streams]
        whole = [*(stream.mark_key for stream in streams), *self._control.keys]
        try:
            found = await self._raw(wire, positions, [(key, b"0-0") for key in whole])
        except TryAgainError:
            return await self._read(wire, positions)
        self._control.look(found, began)
        for stream in streams:
            if self._marks.are_ours(found.pop(stream.mark_key, ())):
                stream.is_ours = True
            else:
                stream.set_foreign()
        return read_entries(found)

    def _ours(self) -> list[Stream]:
        return [stream for stream in self._streams.values() if stream.is_ours]

    async def _tail(self, wire: FeedConnection, until: float) -> None:
        """Take entries as they are added."""
        if not (streams := self._ours()):
            await asyncio.sleep(until - time.monotonic())
            return
        ours = [(stream.key, stream.cursor.position) for stream in streams]
        wire.follow([*ours, *self._control.positions], self._page)
        rest = 0.0
        while (now := time.monotonic()) + rest < until:
            if (found := await wire.next(until, rest)) is None:
                return
            waited = time.monotonic() - now - rest
            looks_again = self._control.take(found)
            # What does not come next is for the next confirmation to explain.
            entries = read_entries(found)
            if not all(self._streams[key].take(it) for key, it in entries.items()) or looks_again:
                return
            wire.move([(key, self._streams[key].cursor.position) for key in entries])
            wire.move(self._control.positions)
            rest = self.pace.rest_after(waited) if entries else 0

    async def _reread(self, wire: FeedConnection, broken: Sequence[Stream]) -> None:
        """Read streams from their beginning, keep all that was known, and judge what is missing."""
        rereadings = [(stream, stream.replay()) for stream in broken]
        for stream, rereading in rereadings:
            position = b"0-0"
            while found := await self._read(wire, [(stream, position)], count=_PAGE):
                for entry in found[stream.key]:
                    rereading.take(entry[0], ends_everybody=stream.ends_everybody(entry))
                    stream.note(entry)
                    position = entry[0].id
        whole = any(rereading.joined for _, rereading in rereadings) or any(
            stream.cursor.last for stream in self._ours() if stream not in broken
        )
        # Those of which nothing is missing come last: that others are lost says nothing of them.
        for stream, rereading in sorted(rereadings, key=lambda it: it[1].is_mended):
            self._judge(stream, rereading, whole)

    def _judge(self, stream: Stream, rereading: Replay, others_are_whole: bool) -> None:
        """Say whether something that matters is missing."""
        begun, was_incomplete = stream.cursor.last is not None, stream.is_incomplete
        name = stream.key.decode()
        self._counters.feed_rereads += begun
        if stream.rejoin(rereading, others_are_whole=others_are_whole):
            if begun:
                logger.warning("%s was read again: nothing that matters is missing", name)
            return
        self._counters.feed_losses += 1
        if rereading.replaced and not others_are_whole:  # emptied, also where that does not show
            for other in self._ours():
                other.set_incomplete(self._timing.life)
        if not was_incomplete:
            seconds = ceil(stream.incomplete_until - time.monotonic())
            logger.error("entries of %s are missing: it is lost for %s s", name, seconds)

    async def _read(
        self, wire: FeedConnection, positions: Sequence[tuple[Stream, bytes]], count: int = 0
    ) -> dict[bytes, list[Entry]]:
        """Read what streams have after these ids, by key."""
        return read_entries(await self._raw(wire, positions, count=count))

    async def _raw(
        self,
        wire: FeedConnection,
        positions: Sequence[tuple[Stream, bytes]],
        more: Sequence[tuple[bytes, bytes]] = (),
        *,
        count: int = 0,
    ) -> dict[bytes, Sequence[RawEntry]]:
        """Read raw replies, by key. `more`: other streams, and the ids after which to read them."""
        command: list[Argument] = ["XREAD", "COUNT", count or self._page]
        asked = [*((stream.key, id_) for stream, id_ in positions), *more]
        command += ["STREAMS", *(key for key, _ in asked), *(id_ for _, id_ in asked)]
        reply = await wire.ask(*command, patience=self._timing.timeout)
        return dict(reply or ())
