"""Counts requests by route, and what they came to."""

import functools

from prometheus_client import Counter, Histogram

from service import streams
from service.web.metrics.outcomes import counters_of

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


def observe(route: str, method: str, status: int, seconds: float, code: str = "") -> None:
    """Count a request. `route` is one of ours or `-`, and `code` that of our error, if it is one:
    what clients choose must not make series."""
    count_dropped_lines()
    method = method if method in _METHODS else "other"
    requests, duration, outcomes = _series(route, method, status, code)
    requests.inc()
    duration.observe(seconds)
    for counter in outcomes:
        counter.inc()


def count_dropped_lines() -> None:
    """Bring the counter of dropped lines up to date.

    It is done here, since whoever drops a line must not wait for the counter's lock.
    """
    global _counted
    dropped = streams.dropped()
    if dropped != _counted:
        _DROPPED.inc(dropped - _counted)
        _counted = dropped


@functools.cache  # bounded: our routes, methods, statuses, codes; finding a series costs 6 µs
def _series(
    route: str, method: str, status: int, code: str
) -> tuple[Counter, Histogram, tuple[Counter, ...]]:
    requests = _REQUESTS.labels(route, method, str(status))
    return requests, _DURATION.labels(route), counters_of(route, method, status, code)
