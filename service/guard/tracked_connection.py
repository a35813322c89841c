"""One connection to one server, which says which streams were written.

The server knows the beginning of their names (`CLIENT TRACKING ON BCAST`), and pushes the name of
each that was written. A reader then reads that one, without waiting: for Redis a push and a short
read, where a read that blocks is registered with each of 64 streams, and taken back. And several
readers may read over one connection. A push brings an entry early, and is never relied on: what one
has not told, the next confirmation (`feed_reader.py`) finds.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from redis import exceptions

from .connection import Argument, Connection, packed, tracking
from .feed_connection import Found
from .reading_pace import SHORTEST
from .replies import Replies

_LOOK_EVERY = 0.1
"""Seconds between two reads of streams whose writes are not told."""
_SILENCE = packed(("CLIENT", "TRACKING", "OFF"))


class TrackedConnection:
    """A connection that readers share. A break is one for all of them."""

    def __init__(
        self, wire: Connection, replies: Replies, prefixes: tuple[bytes, ...], patience: float
    ) -> None:
        """Read over `wire`, by its `replies`. `patience`: seconds for one of them."""
        self.wire = wire
        self.prefixes = prefixes
        self.speech = packed(tracking(prefixes))
        self._replies, self._patience = replies, patience
        self._readers: dict[bytes, TrackedReader] = {}
        self._shares = 0

    @classmethod
    async def over(
        cls, wire: Connection, prefixes: tuple[bytes, ...], patience: float
    ) -> "TrackedConnection | None":
        """Have the server say which streams with these prefixes are written.

        None: it does not, and the connection is closed.

        Raises:
            one of BROKEN: it is closed.
        """
        replies = wire.replies
        if replies is not None:
            tracked = cls(wire, replies, prefixes, patience)
            replies.listen(tracked._written, tracked._broken)
            said = await wire.ask_all([("HELLO", 3), tracking(prefixes)], patience=patience)
            if not any(isinstance(reply, exceptions.ResponseError) for reply in said):
                return tracked
        await wire.close()
        return None

    @property
    def is_over(self) -> bool:
        """Whether it broke, or was left by all."""
        return self._replies.is_over

    def join(self, keys: Iterable[bytes], *, alone: bool) -> "TrackedReader":
        """Let one more reader read, and tell it when one of these streams is written.

        `alone`: no other reader ever joins.
        """
        reader = TrackedReader(self, alone=alone)
        self._readers.update(dict.fromkeys(keys, reader))
        self._shares += 1
        return reader

    async def leave(self, reader: "TrackedReader") -> None:
        """Let a reader read no more. With the last one it is closed."""
        self._readers = {key: it for key, it in self._readers.items() if it is not reader}
        self._shares -= 1
        if self._shares == 0:
            await self.wire.close()

    def exchange(self, sent: bytes, count: int, waiting: "asyncio.Future[list[Any]]") -> None:
        """Send so many commands, and give their replies to `waiting`, errors among them."""
        self._replies.exchange(sent, count, self._patience, waiting=waiting)

    def _written(self, push: list[Any]) -> None:
        """Take what the server says unasked: the names of streams, or that all keys are gone."""
        if push[0] != b"invalidate":
            return
        if push[1] is None:
            for reader in set(self._readers.values()):
                reader.all_gone()
            return
        for key in push[1]:
            if key in self._readers:
                self._readers[key].written(key)

    def _broken(self, error: Exception) -> None:
        for reader in set(self._readers.values()):
            reader.broken(error)


class TrackedReader:
    """One reader's share in a tracked connection.

    Where entries come all the time, a push for each costs more than it brings. So a reader that is
    alone has the server say nothing while it rests for longer, and reads all of its streams then.
    """

    def __init__(self, connection: TrackedConnection, *, alone: bool) -> None:
        self._connection = connection
        self._alone = alone
        self._loop = asyncio.get_running_loop()
        self._ids: dict[bytes, bytes] = {}
        self._count = 0
        self._is_told = self._wants_to_be = True
        self._has_untold = False
        """Whether a stream is followed whose writes are not told, as that is only for a while."""
        self._due: set[bytes] = set()
        """Streams that were written since they were read."""
        self._is_gone, self._gone_at = False, float("-inf")
        self._waiting: asyncio.Future[list[Any]] | None = None
        """Gets what is read next, while that was not asked for."""
        self._rests_until = self._looks_at = self._ends_at = self._wakes_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def ask(self, *command: Argument, patience: float) -> Any:
        """Do as `FeedConnection` says."""
        return await self._connection.wire.ask(*command, patience=patience)

    async def close(self) -> None:
        """Do as `FeedConnection` says."""
        await self._connection.leave(self)

    def follow(self, positions: Iterable[tuple[bytes, bytes]], count: int) -> None:
        """Do as `FeedConnection` says."""
        self._ids, self._count = dict(positions), count
        self._due &= self._ids.keys()
        told = self._connection.prefixes
        self._has_untold = not all(key.startswith(told) for key in self._ids)

    def move(self, positions: Iterable[tuple[bytes, bytes]]) -> None:
        """Do as `FeedConnection` says."""
        self._ids.update(positions)

    async def next(self, until: float, rest: float) -> Found | None:
        """Do as `FeedConnection` says."""
        now = self._loop.time()
        self._ends_at = now + until - time.monotonic()
        self._wants_to_be = not self._alone or rest <= SHORTEST
        while not self._is_gone:
            replies = await self._read(now + rest)
            for reply in replies:
                if isinstance(reply, exceptions.ResponseError):
                    raise reply
            if found := dict(replies[-1] or ()) if replies else None:
                # More may be there than was asked for.
                self._due.update(key for key, it in found.items() if len(it) >= self._count)
                return found
            if not replies and not self._is_gone:
                return {}
            now, rest, self._wants_to_be = self._loop.time(), 0.0, True
        self._is_gone = False
        return None

    def send_now(self) -> None:
        """Do as `FeedConnection` says."""
        self._rests_until = 0.0
        self._look()

    def written(self, key: bytes) -> None:
        """Read this stream, once the reader rests no longer."""
        self._due.add(key)
        self._look()

    def all_gone(self) -> None:
        """Have everything looked at, at once: a database of the server was emptied.

        It may be another app's, again and again; then the next confirmation is soon enough.
        """
        now = self._loop.time()
        if now - self._gone_at >= _LOOK_EVERY:
            self._gone_at, self._is_gone = now, True
            self._give([])

    def broken(self, error: Exception) -> None:
        """Tell whoever waits that the connection has broken."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)

    async def _read(self, rests_until: float) -> list[Any]:
        """Read what was written, or all where that is not told, and return the replies.

        Without any the time is over, or everything is gone.
        """
        if self._connection.is_over:  # nobody would tell
            raise exceptions.ConnectionError("the connection was closed")
        waiting: asyncio.Future[list[Any]] = self._loop.create_future()
        self._waiting = waiting
        self._rests_until = rests_until
        self._looks_at = self._loop.time() + _LOOK_EVERY
        self._look()
        try:
            return await waiting
        finally:
            self._waiting = None
            self._wakes_at = 0.0
            if self._timer is not None:
                self._timer.cancel()

    def _look(self, at: float = 0.0) -> None:
        """Read if it is time to, else look again then. `at`: the time that it is at least."""
        if (waiting := self._waiting) is None:
            return
        reads_all = not (self._is_told and self._wants_to_be)
        if reads_all or self._due & self._ids.keys():
            due_at = self._rests_until
        else:
            due_at = self._looks_at if self._has_untold else self._ends_at
        now = max(self._loop.time(), at)
        if now >= self._ends_at:
            self._give([])
        elif now >= due_at:
            self._waiting = None
            self._send(waiting, reads_all=reads_all)
        elif (wakes_at := min(due_at, self._ends_at)) != self._wakes_at:
            if self._timer is not None:
                self._timer.cancel()
            self._wakes_at = wakes_at
            self._timer = self._loop.call_at(wakes_at, self._look, wakes_at)

    def _send(self, waiting: "asyncio.Future[list[Any]]", *, reads_all: bool) -> None:
        """Ask for what is due, for whoever waits."""
        everything = reads_all or self._has_untold
        keys = list(self._ids) if everything else [key for key in self._due if key in self._ids]
        ids = [self._ids[key] for key in keys]
        commands = [packed(("XREAD", "COUNT", self._count, "STREAMS", *keys, *ids))]
        if self._is_told != self._wants_to_be:
            self._is_told = self._wants_to_be
            commands.insert(0, self._connection.speech if self._is_told else _SILENCE)
        self._due.clear()
        self._connection.exchange(b"".join(commands), len(commands), waiting)

    def _give(self, replies: list[Any]) -> None:
        """Give these to whoever waits, while nothing was asked for."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(replies)
        self._waiting = None
