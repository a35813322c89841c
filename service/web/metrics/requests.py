"""Counts requests by route, and what they came to.

They are counted in plain numbers, and brought over a tenth of a second later, or when metrics are
asked for: prometheus_client takes one at a time, with a lock for each of four values.
"""

import asyncio
import functools
from bisect import bisect_left

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

_SOON = 0.1
"""Seconds until others of the service's processes are told, one of whom may be asked."""


class _Series:
    """Requests of one route, method, status and code that are to be brought over."""

    __slots__ = ("_counters", "_duration", "_seconds", "_times")

    def __init__(self, route: str, method: str, status: int, code: str) -> None:
        requests = _REQUESTS.labels(route, method, str(status))
        self._counters = requests, *counters_of(route, method, status, code)
        self._duration = _DURATION.labels(route)
        self._seconds = 0.0
        self._times = [0] * (len(_BUCKETS) + 1)

    def add(self, seconds: float) -> None:
        """Count one that took so long."""
        if not self._seconds:
            _changed.append(self)
        self._seconds += seconds
        self._times[bisect_left(_BUCKETS, seconds)] += 1

    def bring_over(self) -> None:
        """Add them to the metrics, in one step each."""
        times, seconds = self._times, self._seconds
        self._times, self._seconds = [0] * len(times), 0.0
        calls = sum(times)
        for counter in self._counters:
            counter.inc(calls)
        for bucket, count in zip(self._duration._buckets, times, strict=True):
            if count:
                bucket.inc(count)
        self._duration._sum.inc(seconds)


_changed: list[_Series] = []
_brought_in: asyncio.AbstractEventLoop | None = None
"""The event loop that is to bring them over: another than that of now may have ended."""


def observe(route: str, method: str, status: int, seconds: float, code: str = "") -> None:
    """Count a request. `route` is one of ours or `-`, and `code` that of our error, if it is one:
    what clients choose must not make series."""
    global _brought_in
    loop = asyncio.get_running_loop()
    if not _changed or _brought_in is not loop:
        _brought_in = loop
        loop.call_later(_SOON, bring_over)
    _series(route, method if method in _METHODS else "other", status, code).add(seconds)


def bring_over() -> None:
    """Bring the metrics up to date."""
    changed = _changed.copy()
    _changed.clear()
    for series in changed:
        series.bring_over()
    _count_dropped_lines()


def _count_dropped_lines() -> None:
    """Bring the counter of dropped lines up to date.

    It is done here, since whoever drops a line must not wait for the counter's lock.
    """
    global _counted
    dropped = streams.dropped()
    if dropped != _counted:
        _DROPPED.inc(dropped - _counted)
        _counted = dropped


_series = functools.cache(_Series)
"""Bounded: our routes, methods, statuses, codes. Finding a series costs 6 µs."""
