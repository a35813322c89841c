"""Spells all metrics as Prometheus text."""

import os

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from service.web.metrics.requests import bring_over


def exposition() -> bytes:
    """Spell all metrics of the service as Prometheus text."""
    bring_over()
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest()
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # theirs
    return generate_latest(registry)


def forget_process(pid: int | None) -> None:
    """Leave out what a worker that has ended has told of itself; what it has counted stays."""
    if pid is not None:
        mark_process_dead(pid)  # type: ignore[no-untyped-call]  # theirs
