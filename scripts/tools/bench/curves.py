"""How cost changes with what grows: figures as they are kept in JSON."""

from collections.abc import Sequence

import msgspec

from tools.bench.figures import Row, Sample


class GrowthPoint(msgspec.Struct, frozen=True):
    """A call on a store with `sessions` living sessions, besides those that the load opens.

    The ratios are to the smallest store, which was measured right beside it: medians of pairs.
    """

    sessions: int
    name: str
    title: str
    cpu: float
    """Of the worker, µs."""
    redis_cpu: float
    """µs."""
    p50: float
    """Milliseconds."""
    cpu_ratio: float
    p50_ratio: float
    pairs: int


class Growth(msgspec.Struct, frozen=True):
    """Every call on every size of store, and what the largest store costs besides."""

    points: Sequence[GrowthPoint]
    rewrite_seconds: float
    """That a child of the largest store took to rewrite its append-only file."""
    fork_ms: float
    """For which that store stood still when it forked."""
    idle_cpu: float
    """The share of a core that it takes with nothing to do."""
    ceiling: float = 1.10
    """Times the smallest store's CPU and p50, for a logout on the largest."""


class Crowd(msgspec.Struct, frozen=True):
    """The floor and some calls on so many connections."""

    connections: int
    floor: Sample
    rows: Sequence[Row]
