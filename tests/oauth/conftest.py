"""A provider, and one service that knows it by several names, for all tests of this folder."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from tools.testbed.access import SERVICE
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PATIENT, ServiceProcess

from tests.support.living import lend
from tests.support.provider import SECRET, Provider
from tests.support.provider_app import RETURN, App

APPS = ("https://shop.example", "https://bank.example/api")
"""Audiences besides the default."""


@pytest.fixture(scope="session")
def shared_provider() -> Iterator[Provider]:
    provider = Provider().start()
    yield provider
    provider.stop()


@pytest.fixture(scope="session")
def shared_oauth_service(
    redis_server: RedisServer,
    shared_provider: Provider,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ServiceProcess]:
    directory, redis_url = tmp_path_factory.mktemp("oauth"), redis_server.url_of(SERVICE)
    service = ServiceProcess(directory, redis_url, **settings_for(shared_provider))
    yield from lend("shared_oauth_service", service)


def settings_for(provider: Provider) -> dict[str, str]:
    return {
        "SERVICE_OAUTH_ONE_ISSUER": provider.issuer("one"),
        "SERVICE_OAUTH_ONE_CLIENT_ID": "app-one",
        "SERVICE_OAUTH_ONE_CLIENT_SECRET": SECRET,
        "SERVICE_OAUTH_ONE_TRUST_EMAIL": "on",
        "SERVICE_OAUTH_TWO_ISSUER": provider.issuer("two"),
        "SERVICE_OAUTH_TWO_CLIENT_ID": "app-two",
        "SERVICE_OAUTH_TWO_NAME": "The Second",
        "SERVICE_OAUTH_GITHUB_ISSUER": provider.issuer("hub"),
        "SERVICE_OAUTH_GITHUB_CLIENT_ID": "app-hub",
        "SERVICE_OAUTH_GITHUB_CLIENT_SECRET": SECRET,
        "SERVICE_OAUTH_GITHUB_TRUST_EMAIL": "on",
        "SERVICE_AUDIENCES": ",".join(APPS),
        "SERVICE_COOKIES": "on",
        **PATIENT,
        "SERVICE_OAUTH_REDIRECTS": f"com.example.app:/there, {RETURN}",
    }


@pytest.fixture
def oauth_service(shared_oauth_service: ServiceProcess, keys: RedisServer) -> ServiceProcess:
    """`shared_oauth_service` on an empty Redis."""
    return shared_oauth_service


@pytest.fixture
def provider(shared_provider: Provider) -> Iterator[Provider]:
    """`shared_provider`, which does right."""
    key = shared_provider.key
    yield shared_provider
    shared_provider.key, shared_provider.published = key, [key]
    assert not shared_provider.misbehaviour


@pytest.fixture
async def app(oauth_service: ServiceProcess, provider: Provider) -> AsyncIterator[App]:
    async with httpx.AsyncClient(base_url=oauth_service.url, timeout=30) as http:
        yield App(http, provider)
