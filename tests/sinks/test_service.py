"""The service with sinks: all that happens arrives, over kill -9, and copies are verified."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from standardwebhooks.webhooks import Webhook
from tools.testbed.access import SERVICE
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PATIENT, ServiceProcess, sign_up
from tools.testbed.waiting import eventually

from tests.operators.commands import command
from tests.sinks.receiver import Endpoint, listening
from tests.support.fleet import client_of
from tests.support.looking import ON_VALKEY, events

pytestmark = ON_VALKEY


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    """Somebody who receives webhooks."""
    async with listening() as endpoint:
        yield endpoint


def ids_in(path: Path) -> list[str]:
    """The ids of the events in a file."""
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
    return [row["id"] for row in rows if "id" in row]


async def test_from_the_login_to_the_receiver(
    keys: RedisServer, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at any moment and started again, it brings all of it to each sink, in order."""
    path = tmp_path / "events.jsonl"
    settings = {
        "SERVICE_SINK_FILE": str(path),
        "SERVICE_SINK_SQL": "on",
        "SERVICE_SINK_WEBHOOKS": endpoint.url,
        "SERVICE_SINK_NETWORKS": "127.0.0.0/8",
    }
    service = ServiceProcess(tmp_path, keys.url_of(SERVICE), **settings, **PATIENT).start()
    people = []
    try:
        for _ in range(2):
            async with client_of(service) as client:
                people += [await sign_up(client) for _ in range(8)]
            service.kill()
            with keys.client() as client:  # what it had leases on is free at once
                for state in client.scan_iter(match="events:*:sink:*"):
                    client.hset(state, "until", 1)
                client.delete(*client.scan_iter(match="events:*:pods:*"))
            service.start()
        wanted = sorted(
            f"{person.user_id[0] % 64:02x}-{row['id']}"
            for person in people
            for row in events(keys, person.user_id)
        )
        assert len(wanted) >= 16

        async def have_arrived() -> bool:
            posted = {headers["webhook-id"] for headers, _ in endpoint.received}
            return set(wanted) <= posted and set(wanted) <= set(ids_in(path))

        await eventually(have_arrived, 60)
        for name, value in {**service._environment, "SERVICE_REDIS_URL": keys.url.reveal()}.items():
            if name.startswith("SERVICE_"):
                monkeypatch.setenv(name, value)
        told = (await command("events", "webhooks", "--json")).document["webhooks"]
        assert [each["url"] for each in told] == [endpoint.url]
        for headers, body in endpoint.received:
            Webhook(told[0]["secret"]).verify(body, dict(headers))
        for files in ((str(path),), ()):
            verified = await command("events", "verify", *files, "--json")
            assert verified.document["faults"] == []
            assert (verified.code, verified.document["events"] >= 16) == (0, True)
        path.write_bytes(path.read_bytes().replace(b"user.signedUp", b"user.loggedIn", 1))
        changed = await command("events", "verify", str(path))
        assert changed.code == 1
        assert "FAULT: batch" in changed.out
        dry = await command("events", "replay", told[0]["sink"], "--after", "0")
        assert "Nothing was changed" in dry.out
        before = len(endpoint.received)
        assert (
            await command("events", "replay", told[0]["sink"], "--after", "0", "--yes")
        ).code == 0

        async def comes_again() -> bool:
            again = {headers["webhook-id"] for headers, _ in endpoint.received[before:]}
            return set(wanted) <= again

        await eventually(comes_again, 60)
        metrics = (await _get(service, "/metrics")).text
        assert 'openshow_sink_events_total{sink="sql"}' in metrics
        assert 'openshow_sink_lag_seconds{sink="file"}' in metrics
    finally:
        assert service.stop() == 0


async def _get(service: ServiceProcess, path: str) -> httpx.Response:
    async with client_of(service) as client:
        return await client.get(path)
