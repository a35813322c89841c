"""A service and guards as the ACL users of redis.conf, on each topology: no leave is missing.

That nothing else is: `tests/redis/test_access.py`.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from tools.testbed.access import ASKING_GUARD, GUARD, SERVICE, url_as
from tools.testbed.cluster import Cluster
from tools.testbed.redis_server import RedisServer, available
from tools.testbed.sentinel import SentinelTrio
from tools.testbed.service_process import PATIENT, ServiceProcess, claims_of
from tools.testbed.waiting import eventually

from service.guard import TokenRefused, Verifier
from service.settings import Secret
from tests.support.two_factor import new_holder


class Topology:
    """Servers that were started, and the settings of a service there."""

    def __init__(self, url: Secret, servers: list[Any], **settings: str) -> None:
        self.url = url
        self.settings = settings
        self._servers = servers

    def refusals(self) -> list[tuple[bytes, bytes]]:
        """What the servers have refused: to whom, what."""
        return [(row["username"], row["object"]) for log in self._logs() for row in log]

    def _logs(self) -> Iterator[list[dict[str, Any]]]:
        for server in self._servers:
            with server.client() as client:
                yield client.acl_log()


@pytest.fixture(params=[*available(), "cluster", "sentinel"])
def topology(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Topology]:
    """Servers of the test's own, so that what they refuse was asked here."""
    with ExitStack() as cleanup:
        started: Any
        if request.param == "cluster":
            started = Cluster(tmp_path)
            settings, servers = {}, started.nodes
        elif request.param == "sentinel":
            started = SentinelTrio(tmp_path)
            settings, servers = {"SERVICE_REDIS_MIN_REPLICAS": "2"}, started.servers
        else:
            started = RedisServer(available()[request.param], tmp_path)
            settings, servers = {}, [started]
        cleanup.callback(started.stop)
        started.start()
        yield Topology(started.url, servers, **settings)


@pytest.fixture
def service(topology: Topology, tmp_path: Path) -> Iterator[ServiceProcess]:
    """A service there, as its own user."""
    url = url_as(SERVICE, topology.url)
    service = ServiceProcess(tmp_path, url, **topology.settings, **PATIENT).start()
    yield service
    service.stop()


def guard(service: ServiceProcess, redis_url: Secret, **more: Any) -> Verifier:
    return Verifier(
        issuer="http://127.0.0.1:8000",
        audience="openshow",
        jwks_url=f"{service.url}/.well-known/jwks.json",
        redis_url=redis_url.reveal(),
        **more,
    )


async def test_all_that_they_do_is_allowed(topology: Topology, service: ServiceProcess) -> None:
    """Accounts, both factors, sessions and their ends, seen by guards; ACL LOG stays empty."""
    url = topology.url
    async with (
        httpx.AsyncClient(base_url=service.url, timeout=30) as http,
        guard(service, url_as(GUARD, url)) as feed,
        guard(service, url_as(ASKING_GUARD, url), mode="strict") as strict,
    ):
        ann = await (await new_holder(http)).enrol()
        challenge = await ann.challenge()
        assert (await ann.answer(challenge, ann.phone.wrong())).status_code == 401
        stepped = (await ann.answer(challenge, ann.phone.code(1))).json()
        refreshed = (await ann.holding(stepped).refresh()).json()
        other = ann.holding(stepped | refreshed)
        assert (await ann.disable(ann.recovery_codes[0])).status_code == 204
        for person in (ann, other):
            assert (await person.sessions()).status_code == 200
            for verifier in (feed, strict):
                identity = await verifier.verify(person.tokens["accessToken"])
                assert identity.session_id == claims_of(person.tokens["accessToken"])["sid"]
        assert (await ann.end(other.session_id)).status_code == 204
        assert (await ann.log_out()).status_code == 204
        for person in (ann, other):
            with pytest.raises(TokenRefused):
                await strict.verify(person.tokens["accessToken"])
            await eventually(lambda person=person: _refuses(feed, person.tokens["accessToken"]))
        await eventually(lambda: _is_ready(http))
        ready = await http.get("/health/ready")
        told = ready.text.replace('"appendfsync":"unknown"', "")  # CONFIG alone would tell it
        assert (ready.status_code, "unknown" in told) == (200, False)
    assert service.stop() == 0
    # Readiness asks for the configuration once, and says that it may not. Guards would be told what
    # is written; without that they wait.
    untold = {(user, "client|tracking") for user in (GUARD, ASKING_GUARD)}
    assert set(topology.refusals()) <= {("openshow-service", "config|get"), *untold}


async def _is_ready(http: httpx.AsyncClient) -> bool:
    return (await http.get("/health/ready")).status_code == 200


async def _refuses(verifier: Verifier, token: str) -> bool:
    try:
        await verifier.verify(token)
    except TokenRefused:
        return True
    return False
