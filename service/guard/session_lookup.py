"""Asks Redis whether a session lives: for the mode `strict`, and where the feed is lost."""

import asyncio
import logging
import time

from redis.exceptions import AskError, MovedError, ResponseError

from ..redis.keys import numbered
from ..redis.url import Address, RedisUrl
from .connection import BROKEN, Connection
from .discovery import PrimaryDiscovery
from .errors import GuardUnavailable
from .marks import Marks

logger = logging.getLogger("openshow_auth.guard")

_ATTEMPTS = 5
"""Tries, enough for a failover or a moving slot: to ask twice does no harm."""
_AT_ONCE = 64
_RETRY_AFTER = 1

_Place = tuple[Address | None, bool]


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
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    async def lives(self, bucket: int, user_id: bytes, session_id: bytes) -> bool:
        """Find out whether the user's session has not ended.

        Raises:
            GuardUnavailable: Redis does not say.
        """
        key = numbered(bucket).index + user_id
        try:
            async with asyncio.timeout(2 * self._patience), self._at_once:
                for _ in range(_ATTEMPTS):
                    try:
                        return await self._ask(bucket, key, session_id)
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

    async def _ask(self, bucket: int, key: bytes, session_id: bytes) -> bool:
        address = await self._find(bucket)
        place = (address, self._primaries.is_importing(bucket))
        idle = self._idle.setdefault(place, [])
        wire = idle.pop() if idle else await self._primaries.connect(bucket, address)
        try:
            lives = bool(await wire.ask("HEXISTS", key, session_id, patience=self._patience))
            # A "no" is believed for good, so the mark is looked at each time.
            ours = await self._is_ours(wire, bucket, anew=not lives)
        except ResponseError as refusal:
            idle.append(wire)  # it is the server that refuses, the line is whole
            if not self._primaries.redirected(bucket, refusal, address):
                self._log_refusal(refusal)
            raise
        idle.append(wire)
        self._logged = False
        if not ours:
            raise GuardUnavailable(_RETRY_AFTER)
        return lives

    async def _is_ours(self, wire: Connection, bucket: int, *, anew: bool) -> bool:
        """Make sure that the feed there bears the mark of this guard's issuer.

        While a slot moves key by key the mark may be elsewhere than the session. Then what was seen
        before counts.
        """
        if not anew and time.monotonic() < self._marked_until.get(bucket, float("-inf")):
            return True
        command = ("XREAD", "COUNT", 2, "STREAMS", numbered(bucket).issuer, b"0-0")
        try:
            reply = await wire.ask(*command, patience=self._patience)
        except MovedError:  # which is a kind of AskError
            raise
        except AskError:
            return bucket in self._marked_until
        if not reply and self._primaries.is_importing(bucket) and bucket in self._marked_until:
            return True
        if not self._marks.are_ours(reply[0][1] if reply else ()):
            self._marked_until.pop(bucket, None)
            return False
        self._marked_until[bucket] = time.monotonic() + self._trusted_for
        return True

    def _log_refusal(self, refusal: ResponseError) -> None:
        """Log a failure once, until there is an answer: the guard's user may lack a right."""
        if not self._logged:
            logger.warning("Redis does not answer whether a session lives: %s", refusal)
        self._logged = True

    async def _find(self, bucket: int) -> Address | None:
        """Find the primary. One that Sentinels have named is taken for it a little longer."""
        if not self._named_by_sentinel:
            return await self._primaries.find(bucket)
        at, address = self._named
        if time.monotonic() - at > self._trusted_for:
            address = await self._primaries.find(bucket)
            self._named = (time.monotonic(), address)
        return address

    async def _forget(self, bucket: int, error: Exception) -> None:
        """Drop all connections, as the others may be broken as well, and begin anew."""
        if isinstance(error, ResponseError):
            return
        self._named = (float("-inf"), None)
        self._marked_until = dict.fromkeys(self._marked_until, float("-inf"))
        self._primaries.discard(bucket)
        idle, self._idle = self._idle, {}
        for wires in idle.values():
            for wire in wires:
                await wire.close()
