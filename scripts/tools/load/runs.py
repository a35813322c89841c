"""Where runs happen: one target and one pool of users, for a run or for several."""

import asyncio
import gc
import time
from argparse import Namespace
from contextlib import suppress

from tools.http_load.connection import ConnectionPool
from tools.load import provisioning
from tools.load.arrivals import OpenLoop, Plan
from tools.load.calls import Calls
from tools.load.figures import Summary
from tools.load.record import Record
from tools.load.scenarios import Scenarios
from tools.load.status import follow
from tools.load.summing import summarise
from tools.load.target import Target, UnusableError
from tools.load.thresholds import Thresholds
from tools.load.tokens import TokenFile
from tools.load.virtual_users import UserPool
from tools.load.watch import Watch


class Runs:
    """Close it at the end: those of the token file are put back."""

    def __init__(self, target: Target, asked: Namespace) -> None:
        """Raise UnusableError where a file or a process that is named is not there."""
        self.target = target
        self._patience = asked.timeout
        self._watched = asked.watch_pid or []
        self._connections = ConnectionPool(target.endpoint, self._patience)
        self._calls = Calls(self._connections, target, asked.plan.mix.shed)
        self._file = TokenFile(asked.tokens) if asked.tokens else None
        self._at_once = asked.people or (1000 if self._file else 100)
        self._pool = UserPool((), self._at_once)
        self._scenarios = Scenarios(self._calls, self._pool)
        Watch(self._watched)  # says now what it cannot do

    def close(self) -> None:
        """Hang up, and put people back."""
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

    async def run(self, plan: Plan, thresholds: Thresholds) -> Summary:
        """Do one run and judge it.

        Raises:
            UnusableError: nobody was answered.
        """
        gc.collect()
        gc.freeze()  # users and tokens: the collector need not walk through them again and again
        watch = Watch(self._watched)
        record = self._calls.record = Record(time.perf_counter())
        record.counts_from = plan.warm_up
        loop = OpenLoop(plan, self._scenarios, record, self._patience + 1)
        beside = [asyncio.create_task(each) for each in (watch.run(), follow(loop))]
        try:
            await loop.run()
        finally:
            for task in beside:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        if not record.traces:
            raise UnusableError("no arrival was answered; a longer --duration or a higher --rate?")
        return summarise(loop, self.target, watch, self._at_once, thresholds)
