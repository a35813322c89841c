"""Asks the Sentinels that the URL names who is primary, and goes by the election of all clients.

A single one may be wrong: cut off, back from an old state, or misled by a made-up epoch, which it
then believes before all others. So the server counts that more than half of them name
(`redis/election.py`). The service believes the first news of a failover too, where it has made sure
that the new primary goes on from the old one; a guard may ask a server nothing but for its feed.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any

from ..redis.election import Vote, candidates, elected
from ..redis.sentinel_votes import vote_of
from ..redis.url import Address, RedisUrl
from .connection import BROKEN, Argument, Connection

_GRACE = 0.05
"""Seconds that slow ones are given once a majority has answered, to keep their connection."""


class NoPrimary(ConnectionError):
    """No majority of the Sentinels says where the primary is."""


class Sentinels:
    """Connections to the Sentinels, one to each. One question at a time."""

    def __init__(self, url: RedisUrl, patience: float) -> None:
        """Connect to none yet. `patience`: seconds for a connection, and for an answer."""
        self._url = url
        self._patience = patience
        self._wires: dict[Address, Connection] = {}
        self._known: Address | None = None

    async def primary(self) -> Address:
        """Ask for the primary that a majority names: by the address that it is known by already.

        Raises:
            NoPrimary: too few answer, or they do not agree.
        """
        asking = {asyncio.create_task(self._vote(host)) for host in self._url.hosts}
        votes: list[Vote] = []
        try:
            for answered in asyncio.as_completed(asking):
                vote = await answered
                if vote is None:
                    continue
                votes.append(vote)
                if chosen := elected(candidates(votes), len(self._url.hosts)):
                    await asyncio.wait(asking, timeout=_GRACE)
                    if self._known not in chosen.addresses:
                        self._known = chosen.addresses[0]
                    return self._known
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        raise NoPrimary("no majority of the Sentinels names the primary")

    async def aclose(self) -> None:
        """Disconnect from all."""
        for wire in self._wires.values():
            await wire.close()
        self._wires.clear()

    async def _vote(self, host: Address) -> Vote | None:
        """Ask one for its vote; None: it names nobody, or cannot be asked."""
        for _ in range(2):  # a line that has broken meanwhile says nothing of the Sentinel
            known = self._wires.pop(host, None)
            try:
                wire = known or await Connection.to_sentinel(self._url, host, self._patience)
                vote = await self._ask(wire)
            except BROKEN:
                if known is None:
                    return None
                continue
            except Exception:  # what answers is no Sentinel, so it has no vote
                return None
            self._wires[host] = wire
            return vote
        return None

    async def _ask(self, wire: Connection) -> Vote:
        def ask(*command: Argument) -> Awaitable[Any]:
            return wire.ask(*command, patience=self._patience)

        try:
            return await vote_of(ask, self._url.primary)
        except BaseException:  # a cancelled one too: nothing stays open
            await wire.close()
            raise
