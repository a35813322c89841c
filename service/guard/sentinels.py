"""Who is primary, from a majority of the Sentinels that the URL names.

A single one may be wrong: cut off, back from an old state, or misled by a made-up epoch, which it
then believes before all others. So an address counts that more than half of them name.
"""

import asyncio
from collections import Counter

from ..redis.url import Address, RedisUrl
from .connection import BROKEN, Connection

_GRACE = 0.05
"""Seconds that those who have not answered are given once a majority has, to keep their line."""


class NoPrimary(ConnectionError):
    """No majority of the Sentinels says where the primary is."""


class Sentinels:
    """A connection to each of them. One question at a time."""

    def __init__(self, url: RedisUrl, patience: float) -> None:
        """`patience`: seconds for a connection, and for an answer."""
        self._url = url
        self._patience = patience
        self._wires: dict[Address, Connection] = {}
        self._needed = len(set(url.hosts)) // 2 + 1

    async def primary(self) -> Address:
        """The address that a majority names.

        Raises:
            NoPrimary: too few answer, or they do not agree.
        """
        asking = {asyncio.create_task(self._vote(host)) for host in set(self._url.hosts)}
        votes = Counter[Address]()
        try:
            for answered in asyncio.as_completed(asking):
                named = await answered
                if named is None:
                    continue
                votes[named] += 1
                if votes[named] >= self._needed:
                    await asyncio.wait(asking, timeout=_GRACE)
                    return named
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        raise NoPrimary("no majority of the Sentinels names the primary")

    async def aclose(self) -> None:
        """Hang up on all."""
        for wire in self._wires.values():
            await wire.close()
        self._wires.clear()

    async def _vote(self, host: Address) -> Address | None:
        """Whom this one names; None: nobody, or it cannot be asked."""
        for _ in range(2):  # a line that has broken meanwhile says nothing of the Sentinel
            known = self._wires.pop(host, None)
            try:
                wire = known or await Connection.to_sentinel(self._url, host, self._patience)
                named = await self._ask(wire)
            except BROKEN:
                if known is None:
                    return None
                continue
            except Exception:  # what answers is no Sentinel, so it has no vote
                return None
            self._wires[host] = wire
            return named
        return None

    async def _ask(self, wire: Connection) -> Address | None:
        question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._url.primary)
        try:
            answer = await wire.ask(*question, patience=self._patience)
            if answer is None:
                return None
            host, port = answer
            return host.decode(), int(port)
        except BaseException:
            await wire.close()
            raise
