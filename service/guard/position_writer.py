"""Says in Redis how far this guard has read, so that a logout can tell who refuses the session.

The report (`redis/guard_position.py`) ends by itself after 15 s: nobody waits for a guard that was
killed. Nothing in the guard depends on it. A user that may not write is told so once, and left in
peace.

Where one server has all buckets, the wish to be told is read here, over the same connection: a
report, and waiting for the next wish, go out in one write, and the long read of all feeds
(`feed_reader.py`) is not disturbed. In a cluster the readers of the feeds hear of it (`ask`).
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from redis.exceptions import NoPermissionError, ResponseError

from ..redis.guard_position import About
from ..redis.keys import GUARD_LIFE, GUARDS_BUCKET, numbered
from ..redis.url import Address
from .connection import BROKEN, Connection, packed
from .discovery import PrimaryDiscovery
from .rate_limited_log import RateLimitedLog
from .report import Report
from .stream import Stream
from .wishes import Wish, Wishes, wishes_in

logger = logging.getLogger("openshow_auth.guard")

_WHEN_MOVED, _ANYWAY = 1.0, 5.0
"""Seconds between two reports: where the guard has read on, and where it has not."""
_FORBIDDEN_FOR = 60.0
"""Seconds for which a server that refuses the report is left alone: its ACL LOG may be watched."""
_LEAVE = 1.0
"""Seconds that taking leave may take."""


class PositionWriter:
    """Writes the report of one guard, from `start` to `aclose`."""

    def __init__(
        self,
        primaries: PrimaryDiscovery,
        streams: Sequence[Stream],
        about: Callable[[], About],
        on_pause: Callable[[float], object],
        on_behind: Callable[[], object],
        patience: float,
    ) -> None:
        """Write nothing yet. `about` is asked for each report; `patience`: seconds for a reply.

        `on_pause` hears how many seconds wishes leave between two reports, `on_behind` that one is
        about what has not been read yet.
        """
        names, self._id = numbered(GUARDS_BUCKET), os.urandom(16)
        self._key, self._index, self._asked = names.guard + self._id, names.guards, names.asked
        self._primaries = primaries
        self._streams = streams
        self._report = Report(streams, about)
        self._wishes = Wishes() if primaries.one_for_all else None
        self._on_pause, self._on_behind = on_pause, on_behind
        self._patience = patience
        self._address: Address | None = None
        self._wake = asyncio.Event()
        self._is_begun = self._is_asked = self._is_told = self._is_listed = False
        self._pause = 0.0
        self._at = self._listed = float("-inf")
        self._log = RateLimitedLog()
        self._task: asyncio.Task[None] | None = None

    @property
    def hears_wishes(self) -> bool:
        """Whether the wish to be told is heard here; else whoever hears it has to `ask`."""
        return self._wishes is not None

    def start(self) -> None:
        """Say where the guard stands, from now on."""
        self._task = asyncio.create_task(self._run())

    def begin(self) -> None:
        """Say at once what was read in at the start, and hear wishes from now on."""
        self._is_begun = True
        self.ask(0)

    def ask(self, pause: float) -> None:
        """Say it at once, but `pause` seconds after the last time at the earliest."""
        self._is_asked, self._pause = True, pause
        self._on_pause(pause)
        self._wake.set()

    async def aclose(self) -> None:
        """Take leave: a guard that has ended is not waited for."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._is_listed:
            with suppress(*BROKEN):
                async with asyncio.timeout(_LEAVE):
                    await self._leave()

    async def _leave(self) -> None:
        wire = await self._primaries.connect(
            GUARDS_BUCKET, await self._primaries.find(GUARDS_BUCKET)
        )
        try:
            await wire.ask("DEL", self._key, patience=self._patience)
        finally:
            await wire.close()

    async def _run(self) -> None:
        while True:
            pause = _WHEN_MOVED
            try:
                await self._keep_writing()
                continue
            except NoPermissionError:
                self._is_listed = False
                if not self._is_told:
                    logger.info("this guard may not say how far it has read; see docs/guard.md")
                self._is_told = True
                pause = _FORBIDDEN_FOR
            except ResponseError as refusal:
                self._primaries.redirected(GUARDS_BUCKET, refusal, self._address)
            except BROKEN:
                pass  # the readers of the feed tell
            except Exception as defect:  # nothing depends on the report; it is tried again
                self._log.error("this guard cannot say how far it has read", defect=defect)
            await asyncio.sleep(pause)

    async def _keep_writing(self) -> None:
        """Write over one connection, until it breaks or another server is the primary."""
        self._address = await self._primaries.find(GUARDS_BUCKET)
        wire = await self._primaries.connect(GUARDS_BUCKET, self._address)
        try:
            looked = self._listed = float("-inf")
            self._is_asked = True  # this server may have no report of ours
            if self._wishes is not None:
                self._wishes.begin()
            while True:
                if self._wishes is not None and self._is_begun:
                    await self._write_and_hear(wire, self._wishes)
                else:
                    await self._write(wire, self._due())
                    await self._sleep(_WHEN_MOVED)
                    if self._is_asked:
                        await asyncio.sleep(self._at + self._pause - time.monotonic())
                if (now := time.monotonic()) - looked >= _WHEN_MOVED:
                    looked = now
                    if await self._primaries.find(GUARDS_BUCKET) != self._address:
                        return
        finally:
            await wire.close()

    async def _write_and_hear(self, wire: Connection, wishes: Wishes) -> None:
        """Write what is due, and wait for the next wishes, until another report may be due."""
        commands = [*self._due(), wishes.read(self._asked, _WHEN_MOVED)]
        heard = wishes.take(wishes_in(await self._write(wire, commands, _WHEN_MOVED)))
        if not heard:
            return
        longest = max(wish.pause for wish in heard)
        self._on_pause(longest)
        if (pause := self._at + longest - time.monotonic()) > 0:
            await asyncio.sleep(pause)
        if behind := [wish for wish in heard if self._is_behind(wish)]:
            with suppress(TimeoutError):
                async with asyncio.timeout(_WHEN_MOVED):
                    await self._until_read(behind)

    async def _until_read(self, wishes: Sequence[Wish]) -> None:
        """Wait for what is on its way over the other connection, which need not be there first."""
        for wish in wishes:
            while self._is_behind(wish):
                self._on_behind()
                changed = self._streams[wish.bucket].changed
                changed.clear()
                await changed.wait()

    def _is_behind(self, wish: Wish) -> bool:
        stream = self._streams[wish.bucket]
        return wish.number > stream.number and stream.is_ours  # of another's nothing is read

    def _due(self) -> list[bytes]:
        """Spell what is to be written now, if anything."""
        self._report.look()
        now = time.monotonic()
        if not self._is_asked and not self._report.has_moved and now - self._at < _ANYWAY:
            return []
        self._is_asked, self._is_listed, self._at = False, True, now
        commands = [packed(("SET", self._key, self._report.packed(), "PX", GUARD_LIFE))]
        # The report comes first: who finds an id without one takes it from the list.
        if now - self._listed >= _WHEN_MOVED:
            self._listed = now
            commands.append(packed(("HSET", self._index, self._id, b"")))
        return commands

    async def _write(self, wire: Connection, commands: Sequence[bytes], longer: float = 0) -> Any:
        """Send them, if any, and return the last reply."""
        if not commands:
            return None
        replies = await wire.exchange(commands, patience=self._patience + longer)
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise reply
        return replies[-1]

    async def _sleep(self, seconds: float) -> None:
        """Sleep until somebody asks, or for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._is_asked:
                    self._wake.clear()
                    await self._wake.wait()
