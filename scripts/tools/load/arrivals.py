"""Arrivals at a rate of their own: nobody waits for the answers to those who came before."""

import asyncio
import random
import time
from collections.abc import Iterator
from itertools import accumulate

import msgspec

from tools.load.mixes import Mix
from tools.load.record import Record
from tools.load.scenarios import Scenarios

_OVERTIME = 5.0
"""Seconds after the planned end at which a generator that is behind gives up."""


class Plan(msgspec.Struct, frozen=True):
    """How many arrive a second, for how many seconds, and how many of those count."""

    mix: Mix
    rate: float
    warm_up: float
    duration: float
    even: bool = False
    """Evenly spaced; else at random, as users who know nothing of each other arrive (Poisson)."""

    @property
    def seconds(self) -> float:
        """Altogether."""
        return self.warm_up + self.duration

    def times(self) -> Iterator[float]:
        """Say when arrivals are due, in seconds since the start."""
        due = 0.0
        while True:
            due += 1 / self.rate if self.even else random.expovariate(self.rate)
            if due >= self.seconds:
                return
            yield due


class OpenLoop(msgspec.Struct):
    """A run of arrivals: what each needs, and what comes of it."""

    plan: Plan
    scenarios: Scenarios
    record: Record
    patience: float
    """Seconds after the last arrival until everything still open counts as lost."""
    unsent: int = 0
    """Arrivals that the generator did not get round to, or that found nobody left to send."""
    under_way: int = 0
    most_under_way: int = 0
    cpu: float = 0.0
    """CPU seconds of the generator in the steady state."""

    async def run(self) -> None:
        """Let everybody in at their time, and wait for their answers."""
        plan, start = self.plan, self.record.started
        scenarios = list(plan.mix.weights)
        up_to = list(accumulate(plan.mix.weights.values()))
        open_: set[asyncio.Task[None]] = set()
        cpu_before: float | None = None
        try:
            for due in plan.times():
                wait = start + due - time.perf_counter()
                # Also when late: without a pause in which answers are read it would become later.
                await asyncio.sleep(max(0.0, wait))
                if cpu_before is None and due >= plan.warm_up:
                    cpu_before = time.process_time()
                if -wait > _OVERTIME and time.perf_counter() - start > plan.seconds + _OVERTIME:
                    self.unsent += 1
                    continue
                [scenario] = random.choices(scenarios, cum_weights=up_to)
                task = asyncio.create_task(self._arrive(scenario, start + due))
                open_.add(task)
                task.add_done_callback(open_.discard)
            if open_:
                await asyncio.wait(open_, timeout=self.patience)
            self.cpu = time.process_time() - (cpu_before or time.process_time())
        finally:
            still_open = list(open_)
            for task in still_open:
                task.cancel()
            outcomes = await asyncio.gather(*still_open, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _arrive(self, scenario: str, due: float) -> None:
        self.record.set_out(due, time.perf_counter())
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        done = False
        try:
            done = await self.scenarios.run(scenario, due)
        except asyncio.CancelledError:  # it has waited to the end, for an answer or for a turn
            self.record.note(scenario, due, time.perf_counter() - due, "no answer in the end")
            done = True
        finally:
            self.under_way -= 1
            self.unsent += not done
