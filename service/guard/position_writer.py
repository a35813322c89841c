"""Says in Redis how far this guard has read, so that a logout can tell who refuses the session.

The report (`redis/guard_position.py`) ends by itself after 15 s: nobody waits for a guard that was
killed. Nothing in the guard depends on it. A user that may not write is told so once, and left in
peace.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from redis.exceptions import NoPermissionError, ResponseError

from ..redis.guard_position import NOTHING, About, FeedPosition, pack
from ..redis.keys import GUARD_LIFE, GUARDS_BUCKET, numbered
from ..redis.url import Address
from .connection import BROKEN, Command, Connection
from .discovery import PrimaryDiscovery
from .rate_limited_log import RateLimitedLog
from .stream import Stream

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
        patience: float,
    ) -> None:
        """Write nothing yet. `about` is asked for each report; `patience`: seconds for a reply."""
        names, self._id = numbered(GUARDS_BUCKET), os.urandom(16)
        self._key, self._index = names.guard + self._id, names.guards
        self._primaries = primaries
        self._streams = streams
        self._about = about
        self._patience = patience
        self._address: Address | None = None
        self._wake = asyncio.Event()
        self._leaving = self._is_asked = self._is_told = False
        self._pause = 0.0
        self._listed = float("-inf")
        self._log = RateLimitedLog()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Say where the guard stands, from now on."""
        self._task = asyncio.create_task(self._run())

    def ask(self, pause: float) -> None:
        """Say it at once, but `pause` seconds after the last time at the earliest."""
        self._is_asked, self._pause = True, min(pause, _WHEN_MOVED)
        self._wake.set()

    async def aclose(self) -> None:
        """Take leave: a guard that has ended is not waited for."""
        if self._task is None:
            return
        self._leaving = True
        self._wake.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE):
                await self._task

    async def _run(self) -> None:
        while not self._leaving:
            pause = _WHEN_MOVED
            try:
                await self._keep_writing()
                continue
            except NoPermissionError:
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
            await self._sleep(pause, until_asked=False)

    async def _keep_writing(self) -> None:
        """Write over one connection, until it breaks, another server is the primary, or the end."""
        self._address = await self._primaries.find(GUARDS_BUCKET)
        wire = await self._primaries.connect(GUARDS_BUCKET, self._address)
        try:
            written: list[FeedPosition] = []
            at = looked = self._listed = float("-inf")
            while not self._leaving:
                now, positions = time.monotonic(), self._positions()
                if self._is_asked or positions != written or now - at >= _ANYWAY:
                    self._is_asked = False
                    await self._write(wire, positions)
                    written, at = positions, now
                await self._sleep(_WHEN_MOVED)
                if self._is_asked:
                    await self._sleep(at + self._pause - time.monotonic(), until_asked=False)
                if (now := time.monotonic()) - looked >= _WHEN_MOVED:
                    looked = now
                    if await self._primaries.find(GUARDS_BUCKET) != self._address:
                        return
            await wire.ask("DEL", self._key, patience=self._patience)
        finally:
            await wire.close()

    async def _write(self, wire: Connection, positions: Sequence[FeedPosition]) -> None:
        commands: list[Command] = [
            ("SET", self._key, pack(positions, self._about()), "PX", GUARD_LIFE)
        ]
        # The report comes first: who finds an id without one takes it from the list.
        if (now := time.monotonic()) - self._listed >= _WHEN_MOVED:
            commands.append(("HSET", self._index, self._id, b""))
        replies = await wire.ask_all(commands, patience=self._patience)
        self._listed = now if len(commands) > 1 else self._listed
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise reply

    def _positions(self) -> list[FeedPosition]:
        return [
            (last.number, last.milliseconds)
            if (last := stream.cursor.last) and stream.is_ours and not stream.is_incomplete
            else NOTHING
            for stream in self._streams
        ]

    async def _sleep(self, seconds: float, *, until_asked: bool = True) -> None:
        """Sleep until it is time to leave or, with `until_asked`, until somebody asks."""
        until = time.monotonic() + seconds
        while not self._leaving and not (until_asked and self._is_asked):
            self._wake.clear()
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    await self._wake.wait()
            except TimeoutError:
                return
