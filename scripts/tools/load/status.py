"""A line that tells how a run goes."""

import sys
import time
from typing import TextIO

from tools.http_load.quantiles import quantile
from tools.load.arrivals import OpenLoop

_WIDTH = 24
_REDRAWN = 0.5
_LOOKED_AT = 200
"""Requests at the end of each call whose p99 is shown."""


class Status:
    """Redraws one line on a terminal; elsewhere it keeps quiet."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._on_terminal = stream.isatty()
        self._drawn = 0.0
        self._answers = 0

    def __call__(self, run: OpenLoop) -> None:
        now = time.perf_counter()
        if not self._on_terminal or now - self._drawn < _REDRAWN:
            return
        gone, plan = now - run.record.started, run.plan
        rate = max(0, run.record.answers - self._answers) / (now - self._drawn)
        self._drawn, self._answers = now, run.record.answers
        share = min(1.0, gone / plan.seconds)
        bar = "█" * round(share * _WIDTH)
        phase = "warming up" if gone < plan.warm_up else plan.mix.name
        self._stream.write(
            f"\r\033[K{phase} {bar:░<{_WIDTH}} {share:4.0%}  {min(gone, plan.seconds):,.0f} of"
            f" {plan.seconds:,.0f} s, {rate:,.0f} answers a second, p99 {self._p99(run):.0f} ms,"
            f" {sum(run.record.failures.values()):,} errors"
        )
        self._stream.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._on_terminal:
            self._stream.write("\r\033[K")
            self._stream.flush()

    def _p99(self, run: OpenLoop) -> float:
        recent: list[float] = []
        for trace in run.record.traces.values():
            recent += trace.latency[-_LOOKED_AT:]
        return quantile(sorted(recent), 0.99) * 1000
