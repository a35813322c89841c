"""The metrics of guards, spelt from the last look of the process that is asked.

Pods of apps come and go, and their names with them: a gauge of each process would keep those that
have gone.
"""

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.confirmations.status import GuardStatus


class _Guards(Collector):
    def __init__(self, statuses: Sequence[GuardStatus]) -> None:
        self._statuses = statuses

    def collect(self) -> Iterator[GaugeMetricFamily]:
        lost = sum(each.feed_lost for each in self._statuses)
        number = GaugeMetricFamily(
            "openshow_guards", "Guards that live, by whether their feed is lost.", labels=["feed"]
        )
        number.add_metric(["whole"], len(self._statuses) - lost)
        number.add_metric(["lost"], lost)
        yield number
        lag = GaugeMetricFamily(
            "openshow_guard_lag_seconds",
            "For how long there may have been an end that a guard does not know.",
            labels=["pod"],
        )
        by_pod: dict[str, int] = {}
        for each in self._statuses:
            by_pod[each.pod] = max(each.lag_ms, by_pod.get(each.pod, 0))
        for pod, milliseconds in by_pod.items():
            lag.add_metric([pod], milliseconds / 1000)
        yield lag


def exposition_of(statuses: Sequence[GuardStatus]) -> bytes:
    """Spell these guards as Prometheus text."""
    registry = CollectorRegistry()
    registry.register(_Guards(statuses))
    return generate_latest(registry)
