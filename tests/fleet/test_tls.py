"""A Redis that speaks TLS: with Debian's, because the Valkey of the wheel is built without it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tools.testbed.access import PASSWORD, SERVICE
from tools.testbed.redis_server import available
from tools.testbed.service_process import PATIENT, ServiceProcess, sign_up
from tools.testbed.tls import Authority, TlsServer

from service.settings import Secret


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    """One for the module."""
    if "redis" not in available():
        pytest.skip("no redis-server on this machine")
    server = TlsServer(available()["redis"], tmp_path_factory.mktemp("tls")).start()
    yield server
    server.stop()


async def readiness(directory: Path, url: Secret) -> tuple[int, str]:
    """What a service on `url` answers and has printed. If it says it is ready, it has served."""
    service = ServiceProcess(directory, url).start()
    try:
        async with httpx.AsyncClient(base_url=service.url, timeout=10) as client:
            answer = await client.get("/health/ready")
            if answer.status_code == 200:
                assert (await (await sign_up(client)).log_out()).status_code == 204
            return answer.status_code, answer.text + service.output()
    finally:
        assert service.stop() == 0


async def test_served_under_a_certificate_that_is_trusted(
    server: TlsServer, tmp_path: Path
) -> None:
    """As the ACL user of redis.conf."""
    url = server.url_trusting(server.authority, f"{SERVICE}:{PASSWORD}")
    status, told = await readiness(tmp_path, url)
    assert status == 200, told


async def test_another_certificate_is_refused(server: TlsServer, tmp_path: Path) -> None:
    """Signed by an authority that is not trusted: not a command goes there, nor the password."""
    url = server.url_trusting(Authority(tmp_path, "another"), f"{SERVICE}:{PASSWORD}")
    with server.client() as client:
        before = client.info("stats")["total_commands_processed"]
        status, told = await readiness(tmp_path, url)
        assert client.info("stats")["total_commands_processed"] == before + 1
    assert status == 503
    assert PASSWORD not in told


def test_a_wrong_password_is_refused(server: TlsServer, tmp_path: Path) -> None:
    """The start stops with one line that names the setting, and shows the password to nobody."""
    url = server.url_trusting(server.authority, f"{SERVICE}:not-the-password")
    code, told = ServiceProcess(tmp_path, url, **PATIENT).refusal()
    assert (code, told.count("\n")) == (2, 1), told
    assert told.startswith("openshow-auth: SERVICE_REDIS_URL: ")
    assert "not-the-password" not in told
