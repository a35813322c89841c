"""Where runs happen: one target and one pool of users, for a run or for several."""

import asyncio
import gc
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from tools.http_load.connection import ConnectionPool
from tools.load import provisioning
from tools.load.arrivals import OpenLoop, Plan
from tools.load.calls import Calls
from tools.load.errors import UnusableError
from tools.load.figures import Summary
from tools.load.options import Options
from tools.load.record import Record
from tools.load.scenarios import Scenarios
from tools.load.summing import Made, summarise
from tools.load.target import Target
from tools.load.thresholds import Thresholds
from tools.load.tokens import TokenFile
from tools.load.virtual_users import UserPool
from tools.load.watch import Watch

Meanwhile = Callable[[OpenLoop], None]

_LOOKED_AT = 0.2
"""Seconds between two looks at a run."""


class Runs:
    """Use it with `with`: at the end, those of the token file are put back."""

    def __init__(self, target: Target, options: Options) -> None:
        """Raises UnusableError."""
        self.target = target
        self._options = options
        self._connections = ConnectionPool(target.endpoint, options.patience)
        self._calls = Calls(self._connections, target, options.plan.mix.shed)
        self._file = TokenFile(options.tokens) if options.tokens else None
        self._at_once = options.people or (1000 if self._file else 100)
        self._pool = UserPool((), self._at_once)
        self._scenarios = Scenarios(self._calls, self._pool)
        Watch(list(options.watch))  # says now what it cannot do

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connections.close()
        if self._file is not None:
            self._file.put_back(self._pool.everybody())

    async def gather(self, plan: Plan) -> None:
        """See to it that there are users for this.

        Raises:
            UnusableError: there are not enough, or the service does not want them.
        """
        there = self._pool.present + self._pool.reserve
        missing = self._at_once + provisioning.sessions_used_up(plan) - there
        if missing <= 0:
            return
        if self._file is None:
            users = await provisioning.signed_up(self._calls, missing)
        else:
            users = provisioning.from_file(self._file, missing)
            await provisioning.refresh_stale(self._scenarios, users)
        self._pool.join(users)

    async def run(self, plan: Plan, thresholds: Thresholds, meanwhile: Meanwhile) -> Summary:
        """Do one run and judge it. `meanwhile` is called again and again.

        Raises:
            UnusableError: nobody was answered.
        """
        gc.collect()
        gc.freeze()  # users and tokens: the collector need not walk through them again and again
        began, watch = datetime.now(UTC), Watch(list(self._options.watch))
        record = self._calls.record = Record(time.perf_counter())
        record.counts_from = plan.warm_up
        loop = OpenLoop(plan, self._scenarios, record, self._options.patience + 1)
        beside = [asyncio.create_task(watch.run()), asyncio.create_task(_look(loop, meanwhile))]
        try:
            await loop.run()
        finally:
            for task in beside:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        if not record.traces:
            raise UnusableError("no arrival was answered; a longer --duration or a higher --rate?")
        return summarise(Made(loop, self.target, watch, self._at_once, began), thresholds)


async def _look(loop: OpenLoop, meanwhile: Meanwhile) -> None:
    while True:
        await asyncio.sleep(_LOOKED_AT)
        meanwhile(loop)
