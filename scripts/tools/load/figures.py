"""A run in figures. In JSON, names ending in `_ms` are milliseconds; other times are seconds."""

from collections.abc import Sequence

import msgspec

from tools.http_load.quantiles import quantile


class Latencies(msgspec.Struct, frozen=True):
    """Of requests, from when each was due until its answer was here."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class Call(msgspec.Struct, frozen=True):
    """The requests of a call that were due in the steady state. `shed` ones are not in `requests`,
    whose latencies these are; failed ones are."""

    name: str
    requests: int
    per_second: float
    errors: int
    shed: int
    latencies: Latencies


class Failure(msgspec.Struct, frozen=True):
    """What went wrong, and how often: status and error code, or how the connection ended."""

    call: str
    what: str
    count: int
    in_warm_up: bool


class Generator(msgspec.Struct, frozen=True):
    """Whether the generator did what it should. How late arrivals set out, and what it cost."""

    late: Latencies
    late_limit_ms: float
    unsent: int
    """Arrivals that the generator did not get round to, or that found nobody left to send."""
    most_under_way: int
    cpu_us_per_request: float
    cpu_share: float
    """Of one core."""
    shares_the_machine: bool
    load_average: float
    cores: int


class Watched(msgspec.Struct, frozen=True):
    """Processes in the steady state. Memory is the mean, in bytes, of its first and last third."""

    name: str
    first_third: float
    last_third: float
    change_percent: float
    cores: float
    """CPU seconds a second."""


class Verdict(msgspec.Struct, frozen=True):
    """A threshold, and what was measured against it."""

    threshold: str
    measured: str
    holds: bool


class Series(msgspec.Struct, frozen=True):
    """Figures over time: a value for each bucket, None where there was nothing."""

    name: str
    values: list[float | None]


class Course(msgspec.Struct, frozen=True):
    """A run over time, warm-up included, in buckets of so many seconds."""

    bucket: float
    rates: list[Series]
    latencies: dict[str, list[Series]]
    late: list[Series]
    memory: list[Series]
    cpu: list[Series]


class Summary(msgspec.Struct, frozen=True):
    """All that there is to tell about a run; what `--json` writes."""

    mix: str
    weights: dict[str, float]
    host: str
    started_at: str
    rate: float
    spacing: str
    warm_up: float
    duration: float
    people: int
    verdict: str
    """`pass`, `broken` (a threshold) or `unusable` (the generator could not keep up)."""
    verdicts: list[Verdict]
    total: Call
    calls: list[Call]
    failures: list[Failure]
    generator: Generator
    watched: list[Watched]
    course: Course


def latencies(seconds: Sequence[float]) -> Latencies:
    """Sum up these, which need not be sorted. All zero where there are none."""
    ordered = sorted(seconds)
    return Latencies(*(
        round(quantile(ordered, share) * 1000, 3) for share in (0.5, 0.95, 0.99, 1.0)
    ))  # fmt: skip
