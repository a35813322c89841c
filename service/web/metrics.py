"""Metrics for Prometheus. With several worker processes, the files of all are added up."""

import functools
import os

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from service import streams

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_REQUESTS = Counter("openshow_requests", "Requests answered.", ("route", "method", "status"))
_DURATION = Histogram(
    "openshow_request_seconds", "Time to answer a request.", ("route",), buckets=_BUCKETS
)
_DROPPED = Counter(
    "openshow_log_lines_dropped", "Lines of the log that nobody read in time for more to be kept."
)
_counted = 0

EVENTS_DROPPED = Counter(
    "openshow_events_dropped", "Audit events dropped before their time, to make room."
)


def observe(route: str, method: str, status: int, seconds: float) -> None:
    """Count a request. `route` is one of ours or `-`: what clients choose must not make series."""
    _count_dropped_lines()
    requests, duration = _series(route, method if method in _METHODS else "other", status)
    requests.inc()
    duration.observe(seconds)


def _count_dropped_lines() -> None:
    """Bring the counter of dropped lines up to date.

    It is done here, since whoever drops a line must not wait for the counter's lock.
    """
    global _counted
    dropped = streams.dropped()
    if dropped != _counted:
        _DROPPED.inc(dropped - _counted)
        _counted = dropped


@functools.cache  # bounded: our routes, eight methods, our statuses; finding a series costs 6 µs
def _series(route: str, method: str, status: int) -> tuple[Counter, Histogram]:
    return _REQUESTS.labels(route, method, str(status)), _DURATION.labels(route)


def exposition() -> bytes:
    """Spell all metrics of the service as Prometheus text."""
    _count_dropped_lines()
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest()
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
