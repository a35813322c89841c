"""One reader's connection to a server that does not say which streams were written."""

import time
from collections.abc import Iterable
from typing import Any

from .blocking_read import BlockingRead
from .connection import Argument, Connection
from .feed_connection import Found


class BlockingConnection:
    """A connection of one reader's own, that waits for entries by reads that block."""

    def __init__(self, wire: Connection, patience: float) -> None:
        """Read over `wire`. `patience`: seconds for a reply, beyond what it may wait for."""
        self._wire = wire
        self._patience = patience
        self._read = BlockingRead((), 0)

    async def ask(self, *command: Argument, patience: float) -> Any:
        """Do as `FeedConnection` says."""
        return await self._wire.ask(*command, patience=patience)

    def follow(self, positions: Iterable[tuple[bytes, bytes]], count: int) -> None:
        """Do as `FeedConnection` says."""
        self._read = BlockingRead(positions, count)

    def move(self, positions: Iterable[tuple[bytes, bytes]]) -> None:
        """Do as `FeedConnection` says."""
        for key, id_ in positions:
            self._read.move(key, id_)

    async def next(self, until: float, rest: float) -> Found:
        """Do as `FeedConnection` says."""
        if (left := until - time.monotonic() - rest) <= 0:
            return {}
        patience, command = left + self._patience, self._read.packed(left)
        reply = await self._wire.ask_packed(command, patience=patience, rest=rest)
        return dict(reply or ())

    def send_now(self) -> None:
        """Do as `FeedConnection` says."""
        self._wire.send_now()

    async def close(self) -> None:
        """Do as `FeedConnection` says."""
        await self._wire.close()
