"""Results as rows, as they are kept in JSON."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import median

import msgspec

Key = tuple[str, str, str, float | None, str]


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """One figure: `metric` of `call`, in a `part` of the benchmark.

    `by` and `at` say what was varied and how far: `by="sessions", at=1000`, or `by="cluster"`.
    `limit` is the most that the value may be, or, `at_least`, the least.
    """

    part: str
    call: str
    metric: str
    value: float
    unit: str = ""
    by: str = ""
    at: float | None = None
    limit: float | None = None
    at_least: bool = False

    @property
    def key(self) -> Key:
        """What the figure is of."""
        return self.part, self.call, self.by, self.at, self.metric

    def figure(
        self, metric: str, value: float, unit: str = "", limit: float | None = None
    ) -> "Row":
        """Make another figure of the same call, varied as far."""
        return msgspec.structs.replace(self, metric=metric, value=value, unit=unit, limit=limit)

    @property
    def met(self) -> bool:
        """Whether it keeps within its limit, if it has one."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit


class Report(msgspec.Struct, frozen=True):
    """All that was measured, and on what. `notes`: by part, how it was measured, in sentences."""

    made_at: str
    machine: str
    software: str
    redis: str
    rows: Sequence[Row] = ()
    notes: dict[str, str] = {}

    def of(self, part: str) -> list[Row]:
        """Select the rows of a part."""
        return [row for row in self.rows if row.part == part]

    def value(self, part: str, call: str, metric: str) -> float | None:
        """Find the first figure of this kind, if it was measured."""
        rows = (row for row in self.of(part) if (row.call, row.metric) == (call, metric))
        return next((row.value for row in rows), None)

    def encoded(self) -> bytes:
        """Encode as JSON with a line for each row, so that its changes can be read."""
        about = msgspec.json.encode(msgspec.structs.replace(self, rows=()))
        rows = b",\n".join(msgspec.json.encode(row) for row in self.rows)
        return about.replace(b'"rows":[]', b'"rows":[\n' + rows + b"\n]", 1) + b"\n"

    def updated(self, found: "Found") -> "Report":
        """Put what was found anew in the place of its own: by part, or of `calls` by call."""
        new = {_place(row) for row in found.rows}
        kept = [row for row in self.rows if _place(row) not in new]
        rows = sorted([*kept, *found.rows], key=_order(self.rows, found.rows))
        return msgspec.structs.replace(self, rows=rows, notes=self.notes | found.notes)


class Found(msgspec.Struct):
    """What one part has measured."""

    rows: list[Row]
    notes: dict[str, str] = msgspec.field(default_factory=dict)


def _place(row: Row) -> tuple[str, str]:
    return row.part, row.call if row.part == "calls" else ""


def _order(old: Iterable[Row], new: Iterable[Row]) -> Callable[[Row], int]:
    places = list(dict.fromkeys(_place(row) for row in (*old, *new)))
    return lambda row: places.index(_place(row))


class Sample(msgspec.Struct, frozen=True):
    """One load on one server. Everything but the rate and latencies is per request."""

    cpu: float
    """CPU of the server's processes, user and system, all threads: µs."""
    busiest: float
    """CPU of the one among them that took most."""
    per_second: float
    p50: float
    p99: float
    """Milliseconds. Connections that never pause queue for one worker: this is mostly waiting."""
    redis_cpu: float = 0
    """CPU of the Redis process, user and system, all threads and children: µs."""
    redis_main_thread: float = 0
    round_trips: float = 0
    """Commands over the wire, most of them scripts; what is done unasked is none."""
    commands: float = 0
    """Redis commands, those that scripts call included."""


METRICS = {
    "cpu": ("CPU of the worker", "µs"),
    "redis_cpu": ("Redis CPU", "µs"),
    "round_trips": ("round trips", ""),
    "commands": ("commands", ""),
    "per_second": ("requests/s", ""),
    "p50": ("p50", "ms"),
    "p99": ("p99", "ms"),
}
"""What is kept of a sample, with units."""


def middle(samples: Sequence[Sample]) -> Sample:
    """Take the median of each figure; 0 for no samples."""
    return Sample(*(
        round(median([getattr(sample, name) for sample in samples] or [0]), 3)
        for name in Sample.__struct_fields__
    ))  # fmt: skip


def rows_of(
    sample: Sample, row: Row, limits: dict[str, float] | None = None, *names: str
) -> Iterator[Row]:
    """Make a sample rows like `row`. `names`: only these of `METRICS`."""
    for name in names or METRICS:
        metric, unit = METRICS[name]
        yield row.figure(metric, getattr(sample, name), unit, (limits or {}).get(name))
