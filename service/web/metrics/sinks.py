"""What becomes of events on their way to sinks, in metrics."""

from prometheus_client import Counter, Gauge

_SENT = Counter("openshow_sink_events", "Events that have arrived at a sink.", ("sink",))
_FAILED = Counter("openshow_sink_failures", "Deliveries to a sink that have failed.", ("sink",))
_PARKED = Counter(
    "openshow_sink_parked", "Events that were passed over after too many failures.", ("sink",)
)
_LAG = Gauge(
    "openshow_sink_lag_seconds",
    "Age of the oldest event that this process has yet to bring to a sink.",
    ("sink",),
    multiprocess_mode="livemax",
)

for _sink in ("file", "sql"):  # told from the start, as 0: a rate over what just began is none
    _SENT.labels(_sink)
    _FAILED.labels(_sink)
    _PARKED.labels(_sink)
    _LAG.labels(_sink)


class SinkMetrics:
    """Counts under the names of sinks, which tell nothing of URLs."""

    def sent(self, sink: str, events: int) -> None:
        """Count events that have arrived."""
        _SENT.labels(sink).inc(events)

    def failed(self, sink: str) -> None:
        """Count a delivery that has failed."""
        _FAILED.labels(sink).inc()

    def parked(self, sink: str) -> None:
        """Count an event that was passed over."""
        _PARKED.labels(sink).inc()

    def lag(self, sink: str, seconds: float) -> None:
        """Tell how old the oldest is that has not arrived."""
        _LAG.labels(sink).set(seconds)
