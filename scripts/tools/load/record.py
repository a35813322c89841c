"""What became of each request. Nothing of what was sent or answered is kept but status and code."""

from array import array
from collections import Counter
from datetime import UTC, datetime

import msgspec

SHED = "shed"
"""The outcome of a request that was turned away where the mix allows it."""


class Trace(msgspec.Struct):
    """The requests of one call: seconds since the start at which each was due, and its latency."""

    due: "array[float]"
    latency: "array[float]"
    failed: "array[float]"
    """When those were due that failed; they are among `due`, too."""
    shed: "array[float]"
    """When those were due that were turned away; they are not among `due`."""


class Record:
    """Notes outcomes. Times are those of `time.perf_counter`."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.began = datetime.now(UTC)
        """When that was, by the clock."""
        self.traces: dict[str, Trace] = {}
        self.failures = Counter[tuple[str, str, bool]]()
        """By call, what it was, and whether it was due during the warm-up."""
        self.late = array("d"), array("d")
        """Seconds since the start at which each arrival was due, and how late it set out."""
        self.counts_from = 0.0
        """Seconds since the start until the end of the warm-up."""
        self.answers = 0

    def note(self, name: str, due: float, seconds: float, outcome: str) -> None:
        """Note an outcome: empty for success, SHED, or what went wrong."""
        trace = self.traces.get(name)
        if trace is None:
            trace = self.traces[name] = Trace(*(array("d") for _ in range(4)))
        due -= self.started
        self.answers += 1
        if outcome == SHED:
            trace.shed.append(due)
            return
        trace.due.append(due)
        trace.latency.append(seconds)
        if outcome:
            trace.failed.append(due)
            self.failures[name, outcome, due < self.counts_from] += 1

    def set_out(self, due: float, now: float) -> None:
        """Note that an arrival that was due at `due` was handled from `now` on."""
        self.late[0].append(due - self.started)
        self.late[1].append(max(0.0, now - due))
