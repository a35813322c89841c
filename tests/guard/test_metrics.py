"""What a guard counts, as the two usual libraries for metrics show it."""

from typing import Any

import msgspec
import pytest
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest

from service.guard import GuardCounters
from service.guard.fake_issuer import FakeIssuer
from service.guard.metrics import PrometheusCollector, observe
from tests.guard.guards import verdict

COUNTERS = {field.name for field in msgspec.structs.fields(GuardCounters)}


async def busy(verifier: Any, fake: FakeIssuer) -> None:
    """One check that passes, twice, and one that does not; then the feed is lost."""
    living, ended = fake.log_in(), fake.log_in()
    fake.log_out(ended)
    for token in (living.token, living.token, ended.token):
        await verdict(verifier, token)
    fake.lose_feed()


async def test_prometheus() -> None:
    """Each counter by its name, and the state of the feed, as they are when they are asked for."""
    fake, registry = FakeIssuer(), CollectorRegistry()
    verifier = fake.verifier()
    registry.register(PrometheusCollector(verifier))  # type: ignore[arg-type]
    async with verifier:
        await busy(verifier, fake)
        text = generate_latest(registry).decode()
    found = dict(line.split(" ") for line in text.splitlines() if not line.startswith("#"))
    assert {name.removeprefix("openshow_guard_").removesuffix("_total") for name in found} == (
        COUNTERS | {"feed_lost", "ended_sessions"}
    )
    assert found["openshow_guard_verified_total"] == "2.0"
    assert found["openshow_guard_refused_total"] == "1.0"
    assert found["openshow_guard_feed_lost"] == "1.0"
    assert found["openshow_guard_ended_sessions"] == "1.0"


async def test_opentelemetry() -> None:
    """The same by its API."""
    fake, reader = FakeIssuer(), InMemoryMetricReader()
    verifier, provider = fake.verifier(), MeterProvider([reader])
    meter: Meter = provider.get_meter("shop")
    observe(verifier, meter)
    async with verifier:
        await busy(verifier, fake)
        data: Any = reader.get_metrics_data()
    [metrics] = [scope.metrics for it in data.resource_metrics for scope in it.scope_metrics]
    found = {
        it.name.removeprefix("openshow_guard."): it.data.data_points[0].value for it in metrics
    }
    assert set(found) == COUNTERS | {"feed_lost", "ended_sessions"}
    assert (found["verified"], found["refused"], found["cached"]) == (2, 1, 1)
    assert (found["feed_lost"], found["ended_sessions"]) == (1, 1)
    provider.shutdown()


def test_what_is_no_verifier() -> None:
    """Is told when the metrics are set up."""
    for make in (PrometheusCollector, lambda it: observe(it, None)):
        with pytest.raises(ValueError, match="verifier must be"):
            make(None)
