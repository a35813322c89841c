"""Apps that know nothing of the guard, with the middleware around them."""

from typing import Any

import pytest
from django.core.asgi import get_asgi_application
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from service.guard.asgi import GuardMiddleware
from tests.guard import django_site
from tests.guard.exchange import ANN, KnownTokens, Socket, ask, bearer, running

PUBLIC = ["/health", "/static/"]


def starlette_app(verifier: Any) -> Any:
    async def whoami(request: Request) -> JSONResponse:
        identity = request.state.identity
        return JSONResponse(identity and identity.user_id)

    async def feed(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(socket.state.identity.user_id)
        await socket.close()

    routes = [Route("/orders", whoami), Route("/health", whoami), WebSocketRoute("/feed", feed)]
    return Starlette(
        routes=[*routes, Mount("/api", routes=[Route("/orders", whoami)])],
        middleware=[
            Middleware(CORSMiddleware, allow_origins=["https://x"]),
            Middleware(GuardMiddleware, verifier=verifier, public=PUBLIC),
        ],
    )


def django_app(verifier: Any) -> Any:
    django_site.configure()
    return GuardMiddleware(get_asgi_application(), verifier=verifier, public=PUBLIC)


@pytest.fixture
def verifier() -> KnownTokens:
    return KnownTokens()


@pytest.fixture(params=[starlette_app, django_app])
def app(request: pytest.FixtureRequest, verifier: KnownTokens) -> Any:
    return request.param(verifier)


async def test_the_guard_stands_before_the_app(app: Any, verifier: KnownTokens) -> None:
    """Every route but the public ones, and what is no route, needs a token."""
    async with running(app):
        assert verifier.steps == ["verifier starts"]
        for route in ("/orders", "/api/orders"):
            answer = await ask(app, route)
            assert (answer.status, answer.code) == (401, "unauthorized")
            answer = await ask(app, route, bearer())
            assert (answer.status, answer.body) == (200, b'"%s"' % ANN.user_id.encode())
        assert (await ask(app, "/nothing")).status == 401
        assert (await ask(app, "/nothing", bearer())).status == 404
        answer = await ask(app, "/health")
        assert (answer.status, answer.body) == (200, b"null")
    assert verifier.steps == ["verifier starts", "verifier stops"]


async def test_starlette_in_detail(verifier: KnownTokens) -> None:
    """WebSockets, and preflights that a CORS middleware outside the guard answers."""
    app = starlette_app(verifier)
    socket = Socket(bearer())
    await app(socket.scope, socket.receive, socket.send)
    assert socket.outgoing[1]["text"] == ANN.user_id
    preflight = [(b"origin", b"https://x"), (b"access-control-request-method", b"GET")]
    assert (await ask(app, "/orders", *preflight, method="OPTIONS")).status == 200
    answer = await ask(app, "/orders", *preflight[:1])
    assert answer.status == 401
    assert answer.headers["access-control-allow-origin"] == "https://x"
