"""Has a shipper run for each relying party that is registered, and for no other one."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from service.redis.keys import PARTIES_LIFE
from service.relying_parties.parties import RelyingParty
from service.relying_parties.store import RelyingPartyStore
from service.repeating import repeat
from service.sinks.shipper import Shipper

PERIOD = 2.0
"""Seconds between two looks at what is registered."""

_MARK_EVERY = PARTIES_LIFE.total_seconds() / 24


class RelyingPartyShippers:
    """Follows the table of relying parties. While that cannot be read, it goes on as before."""

    def __init__(
        self,
        store: RelyingPartyStore,
        create: Callable[[RelyingParty], Shipper],
        mark: Callable[[], Awaitable[None]],
        names: list[str],
    ) -> None:
        """Run nothing yet. The names of sinks that run are kept among `names`.

        `mark` says in Redis that there are some; it is called now and then, while there are.
        """
        self._store = store
        self._create = create
        self._mark = mark
        self._names = names
        self._running: dict[RelyingParty, asyncio.Task[None]] = {}
        self._mark_at = 0.0

    async def run(self) -> None:
        """Follow until it is cancelled; then stop all."""
        try:
            await repeat("relying parties", self.look, PERIOD)
        finally:
            await self._stop(*self._running)

    async def look(self) -> None:
        """Begin and end what has to be since the last look."""
        parties = set(await self._store.all())
        await self._stop(*(self._running.keys() - parties))
        for party in parties - self._running.keys():
            self._names.append(party.sink)
            self._running[party] = asyncio.create_task(self._create(party).run())
        if parties and time.monotonic() >= self._mark_at:
            await self._mark()
            self._mark_at = time.monotonic() + _MARK_EVERY

    async def _stop(self, *parties: RelyingParty) -> None:
        tasks = [self._running.pop(party) for party in parties]
        for party, task in zip(parties, tasks, strict=True):
            self._names.remove(party.sink)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
