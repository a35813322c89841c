"""A blocking read of some streams, spelt for Redis: only what has moved is spelt anew.

It names 66 streams, and is sent after each entry of the feed, where the server does not say which
of them was written (`tracked_connection.py`).
"""

import time
from collections.abc import Iterable
from math import ceil
from typing import Any

from .connection import Argument, Connection, bulk
from .feed_connection import Found


class BlockingRead:
    """`XREAD COUNT … BLOCK … STREAMS …`."""

    def __init__(self, positions: Iterable[tuple[bytes, bytes]], count: int) -> None:
        """Read these streams, each after an id; at most `count` entries of each."""
        given = dict(positions)
        self._places = {key: place for place, key in enumerate(given)}
        self._ids = [bulk(id_) for id_ in given.values()]
        self._head = b"*%d\r\n$5\r\nXREAD\r\n$5\r\nCOUNT\r\n%b$5\r\nBLOCK\r\n" % (
            6 + 2 * len(given),
            bulk(count),
        )
        self._keys = b"$7\r\nSTREAMS\r\n" + b"".join(map(bulk, given))

    def move(self, key: bytes, id_: bytes) -> None:
        """Read a stream after this id from now on."""
        self._ids[self._places[key]] = bulk(id_)

    def packed(self, seconds: float) -> bytes:
        """Spell it, to wait for so long."""
        return b"".join((self._head, bulk(ceil(seconds * 1000)), self._keys, *self._ids))


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
