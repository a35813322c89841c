"""Leaves what lives on out of collections, and gives memory back that a flood has taken.

What has held the beginnings of many requests is free once their clients have gone, but glibc's
`malloc` keeps it for the next time, so that a pod would look as large as its worst minute.
"""

import ctypes
import gc
import time
from collections.abc import Callable
from contextlib import suppress

_MANY = 100
"""Connections that have to go before it is worth the milliseconds that it costs."""
_REST = 5.0
"""Seconds between two times: all wait for up to 45 ms, and clients choose when they go."""


def settle() -> None:
    """Take it that what exists now lives on, and have the collector look at new objects only.

    That halves the slowest requests. A request makes few cycles: looking for them less often takes
    4 % from each. What lives when it is looked for is seldom looked at again: a thousand requests
    that wait for their bodies take a tenth of a second, and leave no cycles
    (`Connection.connection_lost`).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 200, 20)
    gc.enable()


def _find_trim() -> Callable[[int], int] | None:
    """Return glibc's `malloc_trim`. Other C libraries have none, and give back by themselves."""
    with suppress(OSError, AttributeError):
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
        return trim
    return None


class Memory:
    """Watches the number of connections, and has free memory given back after many have gone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts seconds."""
        self._trim = _find_trim()
        self._clock = clock
        self._most = 0
        self._before = 0
        self._trimmed_at = float("-inf")

    def look(self, connections: int) -> None:
        """Tell it how many there are, now and then. It acts once no more of them go, and rests."""
        self._most = max(self._most, connections)
        falling, self._before = connections < self._before, connections
        if self._trim is None or falling or self._most - connections < _MANY:
            return
        if self._clock() - self._trimmed_at < _REST:
            return
        self._trim(0)
        self._most, self._trimmed_at = connections, self._clock()
