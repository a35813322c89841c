"""Asks Redis whether a session lives: for the mode `strict`, and where the feed is lost."""

import asyncio
import logging
import time

from redis.exceptions import ResponseError

from service.guard.errors import GuardUnavailable
from service.guard.primaries import Primaries
from service.guard.wire import BROKEN, Wire
from service.keyspace.keys import numbered
from service.keyspace.url import Address, RedisUrl

logger = logging.getLogger("openshow_auth.guard")

_ATTEMPTS = 5
"""Over what a failover or a moving slot may take: to ask twice does no harm."""
_AT_ONCE = 64
_RETRY_AFTER = 1

_Place = tuple[Address | None, bool]


class Questions:
    """A few connections, which are shared by all who ask."""

    def __init__(self, url: RedisUrl, patience: float, trusted_for: float) -> None:
        """`patience`: seconds for each question. A Sentinel's word is taken for `trusted_for`."""
        self._primaries = Primaries(url, patience)
        self._patience = patience
        self._trusted_for = trusted_for
        self._named_by_sentinel = url.topology == "sentinel"
        self._named: tuple[float, Address | None] = (float("-inf"), None)
        self._idle: dict[_Place, list[Wire]] = {}
        self._told = False
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    async def lives(self, bucket: int, user_id: bytes, session_id: bytes) -> bool:
        """Whether the user's session has not ended.

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
        """Hang up."""
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
            answer = await wire.ask("HEXISTS", key, session_id, patience=self._patience)
        except ResponseError as refusal:
            idle.append(wire)  # it is the server that refuses, the line is whole
            if not self._primaries.redirected(bucket, refusal, address):
                self._tell(refusal)
            raise
        idle.append(wire)
        self._told = False
        return bool(answer)

    def _tell(self, refusal: ResponseError) -> None:
        """Once, until there is an answer again: it may be a right that the guard's user lacks."""
        if not self._told:
            logger.warning("Redis does not answer whether a session lives: %s", refusal)
        self._told = True

    async def _find(self, bucket: int) -> Address | None:
        """The primary. One that a Sentinel has named is taken for it a little longer."""
        if not self._named_by_sentinel:
            return await self._primaries.find(bucket)
        at, address = self._named
        if time.monotonic() - at > self._trusted_for:
            address = await self._primaries.find(bucket)
            self._named = (time.monotonic(), address)
        return address

    async def _forget(self, bucket: int, error: Exception) -> None:
        """Whatever else is connected may be broken as well: begin anew."""
        if isinstance(error, ResponseError):
            return
        self._named = (float("-inf"), None)
        self._primaries.lost(bucket)
        idle, self._idle = self._idle, {}
        for wires in idle.values():
            for wire in wires:
                await wire.close()
