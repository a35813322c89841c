"""A blocking read of some streams, spelt for Redis: only what has moved is spelt anew.

It names 66 streams, and is sent after each entry of the feed, where the server does not say which
of them was written (`tracked_connection.py`).
"""

from collections.abc import Iterable
from math import ceil

from .connection import bulk


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
