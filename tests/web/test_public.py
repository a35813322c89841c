"""Who is not named here must show who they are: routes are authenticated unless they say not."""

from collections.abc import Iterator

import httpx
import pytest
from litestar.handlers import HTTPRouteHandler
from tools.testbed.access import SERVICE
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PATIENT, ServiceProcess, code_of, sign_up

from service import app
from service.web.front_page import ROUTES as FRONT
from service.web.pages.routes import ROUTES as PAGES
from tests.support.living import lend

PUBLIC = {
    "GET /.well-known/jwks.json",
    "GET /.well-known/oauth-authorization-server",
    "GET /account",
    "GET /auth/oauth",
    "GET /auth/oauth/{provider:str}/callback",
    "GET /account/{name:str}",
    "GET /health/live",
    "GET /health/ready",
    "GET /metrics",
    "GET /",
    "GET /schema",
    "GET /schema/{name:str}",
    "GET /schema/openapi.json",
    "POST /auth/login",
    "POST /auth/login/2fa",
    "POST /auth/oauth/complete",
    "POST /auth/oauth/{provider:str}/backchannel-logout",
    "POST /auth/oauth/{provider:str}/callback",
    "POST /auth/oauth/{provider:str}/start",
    "POST /auth/password/reset",
    "POST /auth/password/reset/request",
    "POST /auth/email/verify",
    "POST /auth/email/change/confirm",
    "POST /auth/email/change/undo",
    "POST /auth/refresh",
    "POST /auth/signup",
    "POST /oauth/introspect",  # they take an API key, no access token
    "POST /oauth/introspect/batch",
    "POST /oauth/revoke",
}
UNMARKED = ["/unmarked", "/not-public", "/deeper/further"]


def test_the_public_routes() -> None:
    """These, and no other: each new name here is a decision."""
    handlers: list[HTTPRouteHandler] = [*app._ROUTES, *app._MAILING, *FRONT, *PAGES]
    named = {
        f"{method} {path}": handler.opt.get("public")
        for handler in handlers
        for method in handler.http_methods
        for path in handler.paths
    }
    assert {call for call, public in named.items() if public} == PUBLIC
    assert len(named) > len(PUBLIC) + 8


@pytest.fixture(scope="module")
def unmarked(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """A service with routes that say nothing; see unmarked.py."""
    service = ServiceProcess(
        tmp_path_factory.mktemp("unmarked"),
        redis_server.url_of(SERVICE),
        program=("-m", "tests.web.unmarked"),
        SERVICE_PAGES="on",
        **PATIENT,
    )
    yield from lend("unmarked", service)


@pytest.mark.parametrize("path", UNMARKED)
async def test_a_route_that_says_nothing(
    unmarked: ServiceProcess, keys: RedisServer, path: str
) -> None:
    """401 without a credential and with a wrong one; its answer with an access token."""
    async with httpx.AsyncClient(base_url=unmarked.url, timeout=30) as http:
        assert code_of(await http.get(path)) == (401, "unauthorized")
        wrong = await http.get(path, headers={"Authorization": "Bearer x"})
        assert code_of(wrong) == (401, "unauthorized")
        person = await sign_up(http)
        answer = await http.get(path, headers=person.bearer)
        assert (answer.status_code, answer.json()) == (200, "secret")


async def test_methods_are_named_to_anybody(unmarked: ServiceProcess, keys: RedisServer) -> None:
    """OPTIONS tells nothing but the methods of an address, so it asks for nothing."""
    async with httpx.AsyncClient(base_url=unmarked.url, timeout=30) as http:
        for path in ("/auth/me", *UNMARKED):
            answer = await http.options(path)
            assert (answer.status_code, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
