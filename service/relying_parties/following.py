"""Has a shipper run for each relying party that is registered, and for no other one."""

import asyncio
import time
from collections.abc import Callable

from service.clock import Clock
from service.redis.client import RedisClient
from service.relying_parties.marks import are_marked, mark_all
from service.relying_parties.parties import RelyingParty
from service.relying_parties.redis_clock import is_right
from service.relying_parties.store import RelyingPartyStore
from service.repeating import repeat
from service.sinks.shipper import Shipper
from service.sinks.sink import Counts
from service.sinks.tails import Tails

PERIOD = 2.0
"""Seconds between two looks at what is registered."""

_MARK_EVERY = 60.0
"""Seconds until Redis is told again that there are some, as it forgets that in a day. Where it has
lost it, as by FLUSHALL, the next look tells it."""


class RelyingPartyShippers:
    """Follows the table of relying parties. While that cannot be read, it goes on as before."""

    def __init__(
        self,
        store: RelyingPartyStore,
        redis: RedisClient,
        clock: Clock,
        create: Callable[[RelyingParty, Tails], Shipper],
        counts: Counts,
        names: list[str],
    ) -> None:
        """Run nothing yet. The names of sinks that run are kept among `names`.

        While there are parties, Redis is told so now and then, and one look for news is made for
        all of their shippers. While `clock` is far from Redis', all is left to other processes:
        tokens of such a time would be refused, and parked.
        """
        self._store = store
        self._redis = redis
        self._clock = clock
        self._create = create
        self._counts = counts
        self._names = names
        self._tails = Tails(redis)
        self._following: asyncio.Task[None] | None = None
        self._running: dict[RelyingParty, asyncio.Task[None]] = {}
        self._mark_at = 0.0

    async def run(self) -> None:
        """Follow until it is cancelled; then stop all."""
        try:
            await repeat("relying parties", self.look, PERIOD)
        finally:
            await self._stop(*self._running)
            await self._follow(False)

    async def look(self) -> None:
        """Begin and end what has to be since the last look."""
        parties = set(await self._store.all())
        if parties and not await is_right(self._clock, self._redis):
            parties.clear()
        over = [at for at, task in self._running.items() if at not in parties or task.done()]
        await self._stop(*over)
        await self._follow(bool(parties))
        for party in parties - self._running.keys():
            self._names.append(party.sink)
            self._running[party] = asyncio.create_task(self._create(party, self._tails).run())
        is_due = time.monotonic() >= self._mark_at
        if parties and (is_due or not await are_marked(self._redis)):
            await mark_all(self._redis)
            self._mark_at = time.monotonic() + _MARK_EVERY

    async def _follow(self, is_wanted: bool) -> None:
        if is_wanted and self._following is None:
            self._following = asyncio.create_task(self._tails.run())
        elif not is_wanted and self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
            self._following = None

    async def _stop(self, *parties: RelyingParty) -> None:
        tasks = [self._running.pop(party) for party in parties]
        for party, task in zip(parties, tasks, strict=True):
            self._names.remove(party.sink)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for party in parties:
            self._counts.lag(party.sink, 0.0)  # nothing waits for it here any more
