"""The highest rate at which every threshold still holds."""

import asyncio
import sys
from argparse import Namespace

import msgspec

from tools.load.figures import Summary
from tools.load.runs import Runs
from tools.load.target import UnusableError
from tools.load.thresholds import Limit, Thresholds

_FASTER = 1.5
_CLOSER = 3
"""Times that the gap between the last rate that held and the first that broke is halved."""
_P99 = Limit("p99", "all", 50.0)
"""What must hold where no latency is asked for."""
_WARM_UP = 3.0  # seconds at most
_PAUSE = 0.3
_LOWEST = 5.0
"""Arrivals a second below which nothing is tried."""


class Step(msgspec.Struct, frozen=True):
    """A rate that was tried. `generator_late`: all thresholds held, but for its own delay."""

    rate: float
    holds: bool
    generator_late: bool
    p99_ms: float
    errors: int
    cpu_us_per_request: float


class Capacity(msgspec.Struct, frozen=True):
    """`rate` is in arrivals a second; 0 where none held."""

    mix: str
    rate: float
    limited_by: str
    """`service`, `generator` (which was late first), `people` (the file ran out) or `nothing`."""
    shares_the_machine: bool
    steps: list[Step]
    best: Summary | None


async def find(runs: Runs, asked: Namespace) -> Capacity:
    """Raise the rate by half until it breaks, or halve it until it holds, then close in.

    Raises:
        UnusableError: there are no people for the first rate.
    """
    limits = asked.thresholds
    if not limits.limits:
        limits = msgspec.structs.replace(limits, limits=(_P99,))
    search = _Search(runs, asked, limits)
    rate = asked.plan.rate
    while await search.holds(rate):
        rate *= _FASTER
    while search.best is None and search.broken > _LOWEST:
        await search.holds(search.broken / 2)
    for _ in range(_CLOSER):
        if search.best is None or search.limited_by == "people":
            break
        await search.holds((search.best.rate + search.broken) / 2)
    best = search.best
    return Capacity(
        asked.plan.mix.name, best.rate if best else 0.0, search.limited_by,
        runs.target.is_loopback, search.steps, best,
    )  # fmt: skip


class _Search:
    def __init__(self, runs: Runs, asked: Namespace, limits: Thresholds) -> None:
        self._runs, self._asked, self._limits = runs, asked, limits
        self.steps: list[Step] = []
        self.best: Summary | None = None
        self.broken = 0.0
        self.limited_by = "nothing"

    async def holds(self, rate: float) -> bool:
        """Try it, and again if it broke: something else on the machine may have been in the way."""
        for _ in range(2):
            summary = await self._try(rate)
            if summary is None:
                self.limited_by = "people"
                return False
            if summary.verdict == "pass":
                self.best = summary
                return True
            self.limited_by = "generator" if self.steps[-1].generator_late else "service"
        self.broken = rate
        return False

    async def _try(self, rate: float) -> Summary | None:
        """Run it; None: there were no people for it."""
        plan = msgspec.structs.replace(
            self._asked.plan,
            rate=round(rate, 1),
            warm_up=min(_WARM_UP, self._asked.plan.warm_up),
            duration=self._asked.step,
        )
        try:
            await self._runs.gather(plan)
        except UnusableError:
            if not self.steps:
                raise
            return None
        summary = await self._runs.run(plan, self._limits)
        in_time = all(verdict.holds for verdict in summary.verdicts)
        p99, cpu = summary.total.latencies.p99_ms, summary.generator.cpu_us_per_request
        holds = summary.verdict == "pass"
        late = in_time and not holds
        self.steps.append(Step(plan.rate, holds, late, p99, summary.total.errors, cpu))
        result = "holds" if holds else "generator late" if late else "broken"
        print(
            f"{plan.rate:>10,.1f} a second: {result}, p99 {p99:.1f} ms,"
            f" {summary.total.errors:,} errors",
            file=sys.stderr,
        )
        await asyncio.sleep(_PAUSE)
        return summary


def words(found: Capacity) -> str:
    """Say the result in a sentence or two."""
    if found.best is None:
        return f"{found.mix}: not even {found.steps[-1].rate:g} arrivals a second held"
    beside = " The generator shares the machine with the service." * found.shares_the_machine
    reason = {
        "service": "more broke a threshold",
        "generator": "at least: beyond it the generator was late, though the thresholds held",
        "people": "at least: there were no people for a higher rate",
        "nothing": "at least",
    }[found.limited_by]
    return (
        f"capacity of {found.mix}: {found.rate:g} arrivals a second ({reason}),"
        f" p99 {found.best.total.latencies.p99_ms:.1f} ms.{beside}"
    )
