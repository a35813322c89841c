"""Bounds the connections of a server: how long one waits for its client, and how many there are."""

import asyncio
import heapq
import resource
from collections.abc import Collection, Iterable
from operator import itemgetter
from typing import Any

import structlog

from service.serving.listeners import RESERVE
from service.serving.memory import Memory
from service.web.connection import Connection
from service.web.deadlines import Deadlines

_LOOKS = 10  # at the connections within the shortest deadline,
_LONGEST_PERIOD = 0.5  # seconds, and at least so often

_AT_A_TIME = 100  # connections are looked at, which takes a fifth of a millisecond

_MOST = 10_000  # connections of a process, each of which costs some kilobytes
_AT_ONCE = 16  # connections that are given up when there is no room for another

_BETWEEN_LINES = 10.0  # seconds

_Waiting = tuple[tuple[bool, bool, float, int], Connection]
_STANDING = itemgetter(0)

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
        self._spare: list[_Waiting] = []  # to be ended where there is no room, the first one last
        self._given_up = 0
        self._said = -_BETWEEN_LINES
        self._loop = asyncio.get_running_loop()
        self._looked = self._loop.time()
        self._timer: asyncio.Handle = self._loop.call_later(self._period, self._look)

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
        ended = 0
        while self._spare and ended < _AT_ONCE:
            _, connection = self._spare.pop()
            if connection in self._connections:
                standing = connection.standing()
                if standing and not standing[0]:
                    self._give_up(connection)
                    ended += 1
        if not ended:
            for _, connection in _first_to_end(self._connections):
                self._give_up(connection)

    def _give_up(self, connection: Connection) -> None:
        connection.transport.abort()
        self._given_up += 1

    def _look(self) -> None:
        now = self._loop.time()
        passed, self._looked = now - self._looked, now
        # A process that was stopped, or busy, for long has not heard its clients meanwhile.
        passed = min(passed, 2 * self._period)
        self._memory.look(len(self._connections))
        if self._given_up and now - self._said >= _BETWEEN_LINES:
            log.warning("connections were given up: too many are open", number=self._given_up)
            self._given_up, self._said = 0, now
        self._look_at(list(self._connections), passed, [])

    def _look_at(self, left: list[Any], passed: float, spare: list[_Waiting]) -> None:
        """Look at some, and at the others when whoever waits meanwhile has had a turn.

        Thousands at once would keep everybody waiting; so would their ends, at one deadline.
        """
        some, left = left[:_AT_A_TIME], left[_AT_A_TIME:]
        for connection in some:
            if isinstance(connection, Connection) and connection in self._connections:
                connection.pass_time(passed, self._deadlines)
        if len(self._connections) * 4 > self._most * 3:
            spare += _first_to_end(some)
        if left:
            self._timer = self._loop.call_soon(self._look_at, left, passed, spare)
        else:
            self._spare = sorted(spare, key=_STANDING, reverse=True)
            self._timer = self._loop.call_later(self._period, self._look)


def _first_to_end(connections: Iterable[Any]) -> list[_Waiting]:
    waiting = [
        (standing, connection)
        for connection in connections
        if isinstance(connection, Connection) and (standing := connection.standing())
    ]
    return heapq.nsmallest(_AT_ONCE, waiting, key=_STANDING)


def most_connections(descriptors: int) -> int:
    """Return how many connections a process may have that may have so many file descriptors."""
    if descriptors == resource.RLIM_INFINITY:
        return _MOST
    return max(min(descriptors - max(RESERVE, descriptors // 8), _MOST), 1)


def _seconds(deadlines: Deadlines) -> list[float]:
    return [getattr(deadlines, name) for name in deadlines.__struct_fields__]
