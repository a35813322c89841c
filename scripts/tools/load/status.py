"""A line that tells how a run goes."""

import asyncio
import time

from tools.http_load.quantiles import quantile
from tools.load.arrivals import OpenLoop
from tools.report.progress import StatusLine

_WIDTH = 24
_REDRAWN = 0.5
_LOOKED_AT = 200
"""Requests at the end of each call whose p99 is shown."""


async def follow(run: OpenLoop) -> None:
    """Redraw one line on a terminal until cancelled, and clear it; elsewhere keep quiet."""
    line, plan, record, answers = StatusLine(), run.plan, run.record, 0
    try:
        while line.is_watched:
            await asyncio.sleep(_REDRAWN)
            gone = time.perf_counter() - record.started
            share, rate = min(1.0, gone / plan.seconds), (record.answers - answers) / _REDRAWN
            answers = record.answers
            recent = sorted(
                x for trace in record.traces.values() for x in trace.latency[-_LOOKED_AT:]
            )
            line(
                f"{'warming up' if gone < plan.warm_up else plan.mix.name}"
                f" {'█' * round(share * _WIDTH):░<{_WIDTH}} {share:4.0%}"
                f"  {min(gone, plan.seconds):,.0f} of {plan.seconds:,.0f} s,"
                f" {rate:,.0f} answers a second, p99 {quantile(recent, 0.99) * 1000:.0f} ms,"
                f" {sum(record.failures.values()):,} errors"
            )
    finally:
        line.end()
