"""The counters of a verifier for `prometheus_client` and OpenTelemetry, which neither needs.

Both ask when they are asked themselves, so a check is not a step slower for it.

    REGISTRY.register(PrometheusCollector(verifier))
    observe(verifier, metrics.get_meter("shop"))
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from .counters import GuardCounters
from .options import check_verifier
from .verifier import Verifier

PREFIX = "openshow_guard"
_HELP = {
    "verified": "Checks that ended with an identity",
    "refused": "Checks of tokens that do not count",
    "unavailable": "Checks that could not be made",
    "cached": "Checks of tokens whose signature had been verified before",
    "asked": "Questions to Redis whether a session lives",
    "served_stale": "Checks that passed while the feed was lost",
    "feed_breaks": "Connections for the feed that broke or could not be made",
    "feed_rereads": "Streams read again from the beginning",
    "feed_losses": "Times that entries of the feed were missing",
    "feed_unknown": "Entries of a kind that this guard does not know",
    "key_fetches": "Fetches of the JWK set",
    "key_failures": "Fetches of the JWK set that failed",
}
_LOST = "Whether the revocation feed is lost"
_ENDED = "Ends and cut-offs that are remembered"


class PrometheusCollector:
    """What a registry of `prometheus_client` collects of a verifier."""

    def __init__(self, verifier: Verifier) -> None:
        """Look at nothing yet.

        Raises:
            ValueError: it is no verifier.
        """
        check_verifier(verifier)
        self._verifier = verifier

    def collect(self) -> Iterator[Any]:
        """Make the families of metrics as they are now."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        for name, value in _counts(self._verifier.counters):
            yield CounterMetricFamily(f"{PREFIX}_{name}", _HELP[name], value)
        yield GaugeMetricFamily(f"{PREFIX}_feed_lost", _LOST, int(self._verifier.feed_lost))
        yield GaugeMetricFamily(f"{PREFIX}_ended_sessions", _ENDED, self._verifier.remembered)


def observe(verifier: Verifier, meter: Any) -> None:
    """Let a `Meter` of OpenTelemetry observe a verifier.

    Raises:
        ValueError: it is no verifier.
    """
    check_verifier(verifier)
    from opentelemetry.metrics import Observation

    def observed(look: Callable[[], int]) -> list[Callable[[Any], Iterable[Any]]]:
        return [lambda _: [Observation(look())]]

    def count(name: str) -> Callable[[], int]:
        return lambda: int(getattr(verifier.counters, name))

    for name, text in _HELP.items():
        meter.create_observable_counter(
            f"{PREFIX}.{name}", callbacks=observed(count(name)), description=text
        )
    meter.create_observable_gauge(
        f"{PREFIX}.feed_lost",
        callbacks=observed(lambda: int(verifier.feed_lost)),
        description=_LOST,
    )
    meter.create_observable_gauge(
        f"{PREFIX}.ended_sessions",
        callbacks=observed(lambda: verifier.remembered),
        description=_ENDED,
    )


def _counts(counters: GuardCounters) -> Iterator[tuple[str, int]]:
    yield from msgspec.structs.asdict(counters).items()
