"""Asks Redis whether a session lives: for the mode `strict`, and where the feed is lost.

It does where its user's index has it, and where it was opened after the last cut-off of everybody.
Both are asked for in one write. In a cluster they may lie on two nodes while their slot moves key
by key: a key that the node which has the slot does not have, and answers ASK for, is at the other
one or nowhere. So each is asked for there first, never at the other node alone.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

from redis.exceptions import AskError, MovedError, NoPermissionError, ResponseError

from ..redis.keys import numbered
from ..redis.url import Address, RedisUrl
from .comparison import Comparison
from .connection import BROKEN, Command, Connection
from .cut_offs import whole_number
from .discovery import PrimaryDiscovery
from .errors import GuardUnavailable
from .marks import Marks

logger = logging.getLogger("openshow_auth.guard")

_ATTEMPTS = 5
"""Tries, enough for a failover or a moving slot: to ask twice does no harm."""
_AT_ONCE = 64
_RETRY_AFTER = 1
_COMPARED_PAUSE = 0.05
"""Seconds between two looks whether the server has been compared, when it was connected to."""

_Place = tuple[Address | None, bool]
"""A server, and whether it is asked for what it is importing."""


class SessionLookup:
    """Looks up sessions over a few connections, which are shared by all who ask."""

    def __init__(self, url: RedisUrl, patience: float, trusted_for: float, marks: Marks) -> None:
        """Connect to none yet. `patience`: seconds for each question. A Sentinel's word, and the
        mark of the feed, are taken for `trusted_for`."""
        self._primaries = PrimaryDiscovery(url, patience)
        self._patience = patience
        self._trusted_for = trusted_for
        self._named_by_sentinel = url.topology == "sentinel"
        self._named: tuple[float, Address | None] = (float("-inf"), None)
        self._idle: dict[_Place, list[Connection]] = {}
        self._logged = False
        self._marks = marks
        self._marked_until: dict[int, float] = {}
        """By bucket: how long its mark, which was seen to be ours, need not be looked at again."""
        self._comparisons: dict[int, Comparison] = {}
        """By bucket, or that of bucket 0, where one server has all of them."""
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    async def lives(self, bucket: int, user_id: bytes, session_id: bytes, opened_at: int) -> bool:
        """Find out whether the user's session, which was opened at this time (ms), has not ended.

        Raises:
            GuardUnavailable: Redis does not say.
        """
        key = numbered(bucket).index + user_id
        try:
            async with asyncio.timeout(2 * self._patience), self._at_once:
                for _ in range(_ATTEMPTS):
                    try:
                        return await self._ask(bucket, key, session_id, opened_at)
                    except BROKEN as error:
                        await self._forget(bucket, error)
        except TimeoutError:
            pass
        raise GuardUnavailable(_RETRY_AFTER)

    async def aclose(self) -> None:
        """Disconnect."""
        for wires in self._idle.values():
            for wire in wires:
                await wire.close()
        self._idle.clear()
        await self._primaries.aclose()

    async def _ask(self, bucket: int, key: bytes, session_id: bytes, opened_at: int) -> bool:
        address = await self._find(bucket)
        await self._until_compared(bucket, address)
        is_there, before = await self._replies(
            bucket, address, ("HEXISTS", key, session_id), ("GET", numbered(bucket).before)
        )
        lives = bool(is_there) and opened_at > _cut_off(before)
        # A "no" is believed for good, so the mark is looked at each time, where the "no" came from.
        if not await self._is_ours(bucket, address, anew=not lives):
            raise GuardUnavailable(_RETRY_AFTER)
        self._logged = False
        return lives

    async def _until_compared(self, bucket: int, address: Address | None) -> None:
        """Wait until the service has compared the server since it was connected to."""
        number = 0 if self._primaries.one_for_all else bucket
        command = ("XREAD", "COUNT", 1, "STREAMS", numbered(number).compared, b"0-0")
        while True:
            comparison = self._comparisons.setdefault(number, Comparison())
            if comparison.is_made:
                return
            [reply] = await self._replies(number, address, command)
            comparison.look(reply[0][1] if reply else ())
            if not comparison.is_made:
                await asyncio.sleep(_COMPARED_PAUSE)

    async def _is_ours(self, bucket: int, address: Address | None, *, anew: bool) -> bool:
        """Make sure that the feed there bears the mark of this guard's issuer."""
        if not anew and time.monotonic() < self._marked_until.get(bucket, float("-inf")):
            return True
        command = ("XREAD", "COUNT", 2, "STREAMS", numbered(bucket).issuer, b"0-0")
        [reply] = await self._replies(bucket, address, command)
        if not self._marks.are_ours(reply[0][1] if reply else ()):
            self._marked_until.pop(bucket, None)
            return False
        self._marked_until[bucket] = time.monotonic() + self._trusted_for
        return True

    async def _replies(self, bucket: int, address: Address | None, *commands: Command) -> list[Any]:
        """Ask the bucket's primary, and for what it sends us on for, the node that it names."""
        replies = await self._exchange(bucket, (address, False), commands)
        for number, reply in enumerate(replies):
            if _is_elsewhere(reply):
                # An empty host is the same as was asked.
                to = (reply.host or (address[0] if address else ""), reply.port)
                moved = await self._exchange(bucket, (to, True), [commands[number]])
                replies[number] = moved[0]
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, ResponseError):
                if not (_is_elsewhere(reply) or self._primaries.redirected(bucket, reply, address)):
                    self._log_refusal(command, reply)
                raise reply
        return replies

    async def _exchange(self, bucket: int, place: _Place, commands: Sequence[Command]) -> list[Any]:
        """Send commands to a server in one write, and return the replies."""
        idle = self._idle.get(place)
        wire = idle.pop() if idle else await self._connect(bucket, place)
        replies = await wire.ask_all(commands, patience=self._patience)
        self._idle.setdefault(place, []).append(wire)
        return replies

    async def _connect(self, bucket: int, place: _Place) -> Connection:
        address, is_importing = place
        if is_importing and address is not None:
            return await self._primaries.connect_to_importing(address)
        return await self._primaries.connect(bucket, address)

    def _log_refusal(self, command: Command, refusal: ResponseError) -> None:
        """Log a failure once, until there is an answer: the guard's user may lack a right."""
        if not self._logged:
            what = "Redis does not answer whether a session lives"
            if isinstance(refusal, NoPermissionError):
                line = "as openshow-guard-asking has it in redis.conf"
                logger.error(
                    "%s: the guard's user needs +%s, %s", what, str(command[0]).lower(), line
                )
            else:
                logger.warning("%s: %s", what, refusal)
        self._logged = True

    async def _find(self, bucket: int) -> Address | None:
        """Find the primary. One that Sentinels have named is taken for it a little longer."""
        if not self._named_by_sentinel:
            return await self._primaries.find(bucket)
        at, address = self._named
        if time.monotonic() - at > self._trusted_for:
            before, address = address, await self._primaries.find(bucket)
            self._named = (time.monotonic(), address)
            if address != before:  # which may have been restored, while no connection has broken
                self._comparisons.clear()
        return address

    async def _forget(self, bucket: int, error: Exception) -> None:
        """Drop all connections, as the others may be broken as well, and begin anew."""
        if isinstance(error, ResponseError):
            return
        self._named = (float("-inf"), None)
        self._marked_until = dict.fromkeys(self._marked_until, float("-inf"))
        self._comparisons.clear()
        self._primaries.discard(bucket)
        idle, self._idle = self._idle, {}
        for wires in idle.values():
            for wire in wires:
                await wire.close()


def _is_elsewhere(reply: object) -> bool:
    """Tell whether a key is not there, and if anywhere, where its slot is moving to."""
    return isinstance(reply, AskError) and not isinstance(reply, MovedError)


def _cut_off(reply: bytes | None) -> int:
    """Read the time of the last cut-off of everybody; -1: there was none.

    Raises:
        GuardUnavailable: it is no time.
    """
    if reply is None:
        return -1
    at = whole_number(reply)
    if at is None:
        logger.error("the cut-off of everybody in Redis is no time")
        raise GuardUnavailable(_RETRY_AFTER)
    return at
