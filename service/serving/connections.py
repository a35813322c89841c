"""Bounds the connections of a server: how long one waits for its client, and how many there are."""

import asyncio
import heapq
import resource
from collections.abc import Collection
from operator import itemgetter
from typing import Any

import structlog

from service.serving.memory import Memory
from service.web.connection import Connection
from service.web.deadlines import Deadlines

_LOOKS = 10  # at the connections within the shortest deadline,
_LONGEST_PERIOD = 0.5  # seconds, and at least so often

_MOST = 10_000  # connections of a process, each of which costs some kilobytes
_RESERVE = 64  # file descriptors, at least, for Redis, the user store and files
_AT_ONCE = 16  # connections that are given up when there is no room for another

_BETWEEN_LINES = 10.0  # seconds

log = structlog.get_logger()


class Connections:
    """Ends connections: those whose time is over, and where there are too many, those that wait."""

    def __init__(self, connections: Collection[Any], deadlines: Deadlines) -> None:
        """Begin to watch. `connections` is the server's own set, which changes."""
        self._connections = connections
        self._deadlines = deadlines
        self._period = min(min(_seconds(deadlines)) / _LOOKS, _LONGEST_PERIOD)
        self._most = most_connections(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        self._memory = Memory()
        self._given_up = 0
        self._said = -_BETWEEN_LINES
        self._loop = asyncio.get_running_loop()
        self._looked = self._loop.time()
        self._timer = self._loop.call_later(self._period, self._look)

    def stop(self) -> None:
        """Stop watching."""
        self._timer.cancel()

    def make_room(self, at_any_rate: bool = False) -> None:
        """End some connections that wait for their clients if there is no room for another.

        `Connection.standing` says which: a client that sends its request at once is served, however
        many hold connections open.
        """
        if len(self._connections) < self._most and not at_any_rate:
            return
        waiting = [
            (standing, connection)
            for connection in self._connections
            if isinstance(connection, Connection) and (standing := connection.standing())
        ]
        for _, connection in heapq.nsmallest(_AT_ONCE, waiting, key=itemgetter(0)):
            connection.transport.abort()
            self._given_up += 1

    def _look(self) -> None:
        now = self._loop.time()
        passed, self._looked = now - self._looked, now
        # A process that was stopped, or busy, for long has not heard its clients meanwhile.
        passed = min(passed, 2 * self._period)
        for connection in list(self._connections):
            if isinstance(connection, Connection):
                connection.pass_time(passed, self._deadlines)
        self._memory.look(len(self._connections))
        if self._given_up and now - self._said >= _BETWEEN_LINES:
            log.warning("connections were given up: too many are open", number=self._given_up)
            self._given_up, self._said = 0, now
        self._timer = self._loop.call_later(self._period, self._look)


def most_connections(descriptors: int) -> int:
    """Return how many connections a process may have that may have so many file descriptors."""
    if descriptors == resource.RLIM_INFINITY:
        return _MOST
    return max(min(descriptors - max(_RESERVE, descriptors // 8), _MOST), 1)


def _seconds(deadlines: Deadlines) -> list[float]:
    return [getattr(deadlines, name) for name in deadlines.__struct_fields__]
