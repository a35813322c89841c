"""The counters of a verifier for `prometheus_client` and OpenTelemetry."""

from .guard.metrics import PrometheusCollector, observe

__all__ = ["PrometheusCollector", "observe"]
