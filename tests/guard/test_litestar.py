"""The Litestar plugin."""

import time
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from litestar import Controller, Litestar, Router, WebSocket, get, post, websocket
from litestar.config.cors import CORSConfig
from litestar.di import NamedDependency
from litestar.openapi.config import OpenAPIConfig

from service.guard.identity import Identity
from service.guard.litestar import GuardPlugin
from tests.guard.exchange import ANN, KnownTokens, Socket, ask, bearer, running

PREFLIGHT = [(b"origin", b"https://x"), (b"access-control-request-method", b"GET")]


@get("/orders")
async def orders(identity: NamedDependency[Identity]) -> str:
    """Needs a token, and says whose it was."""
    return identity.user_id


@get("/health", opt={"public": True})
async def health(identity: NamedDependency[Identity | None]) -> bool:
    """Needs none."""
    return identity is None


@get("/nearly", opt={"public": "no"})
async def nearly() -> None:
    """Not public: that is said with `True`."""


class Shop(Controller):
    path = "/shop"
    opt = {"public": True}  # noqa: RUF012  as Litestar's users write it

    @get("/window")
    async def window(self) -> None: ...

    @get("/till", opt={"public": False})
    async def till(self) -> None: ...


class Counter(Controller):
    path = "/counter"
    opt = {"public": True}  # noqa: RUF012
    include_in_schema = False

    @get("/both")
    async def read(self) -> None: ...

    @post("/both", opt={"public": False})
    async def write(self) -> None: ...


@get("/greeting", opt={"optional": True})
async def greeting(identity: NamedDependency[Identity | None]) -> str:
    return identity.user_id if identity else "nobody"


class Admin(Controller):
    path = "/admin"
    opt = {"methods": {"otp"}, "max_age": timedelta(minutes=10)}  # noqa: RUF012

    @get("/users")
    async def users(self) -> None: ...

    @get("/orders", opt={"methods": (), "max_age": None})
    async def orders(self) -> None: ...

    @websocket("/feed")
    async def feed(self, socket: WebSocket[Any, Any, Any]) -> None: ...


@websocket("/feed")
async def feed(socket: WebSocket[Any, Any, Any], identity: NamedDependency[Identity]) -> None:
    await socket.accept()
    await socket.send_text(identity.user_id)
    await socket.close()


@pytest.fixture
def verifier() -> KnownTokens:
    return KnownTokens()


@pytest.fixture
def app(verifier: KnownTokens) -> Litestar:
    documents = Router("/schema", route_handlers=[], opt={"public": True})
    return Litestar(
        [orders, health, nearly, greeting, Admin, Shop, Counter, feed],
        plugins=[GuardPlugin(verifier)],
        openapi_config=OpenAPIConfig("Shop", "1", openapi_router=documents),
        cors_config=CORSConfig(allow_origins=["https://x"]),
        logging_config=None,
    )


async def test_the_verifier_runs_with_the_app(app: Litestar, verifier: KnownTokens) -> None:
    """From its startup to its shutdown."""
    async with running(app):
        assert verifier.steps == ["verifier starts"]
    assert verifier.steps == ["verifier starts", "verifier stops"]


@pytest.mark.parametrize("path", ["/orders", "/nearly", "/shop/till", "/orders/", "//orders"])
async def test_routes_are_closed(app: Litestar, path: str) -> None:
    """Also those of a public controller that say so, and however the path is spelt."""
    answer = await ask(app, path)
    assert (answer.status, answer.code) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == 'Bearer realm="openshow"'
    assert (await ask(app, path, bearer("bad"))).status == 401
    assert (await ask(app, path, bearer())).status == 200


async def test_the_handler_gets_the_identity(app: Litestar, verifier: KnownTokens) -> None:
    """As the dependency `identity`."""
    assert (await ask(app, "/orders", bearer())).body == ANN.user_id.encode()
    verifier.lost = True
    answer = await ask(app, "/orders", bearer())
    assert (answer.status, answer.code) == (503, "service_unavailable")


@pytest.mark.parametrize("path", ["/health", "/shop/window", "/schema/openapi.json"])
async def test_public_routes_are_open(app: Litestar, verifier: KnownTokens, path: str) -> None:
    """A route, a controller's, and the router of the documentation."""
    verifier.lost = True
    answer = await ask(app, path, bearer("bad"))
    assert answer.status == 200
    assert path != "/health" or answer.body == b"true"


async def test_preflights_are_answered(app: Litestar) -> None:
    """By Litestar, before the guard; a refusal carries the headers that let a browser read it."""
    answer = await ask(app, "/orders", *PREFLIGHT, method="OPTIONS")
    assert answer.status == 204
    answer = await ask(app, "/orders", *PREFLIGHT[:1])
    assert answer.status == 401
    assert answer.headers["access-control-allow-origin"] == "https://x"
    assert (await ask(app, "/orders", method="OPTIONS")).status == 401


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/shop/till", 401),
        ("/counter/both", 401),
        ("/orders", 401),
        ("/shop/window", 204),
        ("/greeting", 401),
    ],
)
async def test_options_are_as_open_as_the_path(app: Litestar, path: str, status: int) -> None:
    """Those that Litestar answers by itself: one closed method closes them, whatever is above."""
    assert (await ask(app, path, method="OPTIONS")).status == status
    assert (await ask(app, path, bearer(), method="OPTIONS")).status == 204
    assert (await ask(app, path, method="HEAD")).status in (401, 405)


async def test_what_a_route_requires(app: Litestar, verifier: KnownTokens) -> None:
    """By its own `opt` or that of its controller (RFC 9470)."""
    recent, otp = int(time.time()) - 60, ("pwd", "otp", "mfa")
    verifier.living |= {
        "recent": msgspec.structs.replace(ANN, auth_time=recent),
        "second": msgspec.structs.replace(ANN, methods=otp),
        "both": msgspec.structs.replace(ANN, methods=otp, auth_time=recent),
    }
    assert (await ask(app, "/admin/users", bearer("both"))).status == 200
    for token, challenge in (("recent", "reauthenticate with otp"), ("second", ', max_age="600"')):
        answer = await ask(app, "/admin/users", bearer(token))
        assert (answer.status, answer.code) == (401, "insufficient_user_authentication")
        assert challenge in answer.headers["www-authenticate"]
        assert (await ask(app, "/admin/orders", bearer(token))).status == 200
    assert (await ask(app, "/admin/orders")).status == 401
    socket = Socket(bearer("second"))
    socket.scope["path"], socket.scope["raw_path"] = "/admin/feed", b"/admin/feed"
    await app(socket.scope, socket.receive, socket.send)
    assert socket.outgoing[0]["status"] == 401


async def test_an_optional_route(app: Litestar, verifier: KnownTokens) -> None:
    """Nobody calls without a credential; one that is sent has to be good."""
    assert (await ask(app, "/greeting")).body == b"nobody"
    assert (await ask(app, "/greeting", bearer())).body == ANN.user_id.encode()
    assert (await ask(app, "/greeting", bearer("bad"))).status == 401
    verifier.lost = True
    assert (await ask(app, "/greeting", bearer())).status == 503
    assert (await ask(app, "/greeting")).status == 200


@pytest.mark.parametrize("wrong", [
    {"methods": "otp"}, {"methods": None}, {"methods": [7]}, {"max_age": "600"}, {"max_age": -1},
    {"max_age": True}, {"optional": "yes"}, {"optional": None}, {"optional": 1},
    {"optional": True, "methods": {"otp"}}, {"optional": True, "max_age": 600},
    {"public": True, "methods": {"otp"}}, {"public": True, "max_age": 0},
    {"public": True, "optional": True},
])  # fmt: skip
@pytest.mark.parametrize("make", [get, websocket])
def test_a_mistake_is_told_when_the_app_is_made(make: Any, wrong: dict[str, Any]) -> None:
    """A ValueError that names the handler and what is wrong with its `opt`."""

    @make("/x", opt=wrong)
    async def handler(socket: WebSocket[Any, Any, Any]) -> None: ...

    @get("/x", opt=wrong)
    async def plain() -> None: ...

    with pytest.raises(ValueError, match=r"^opt of .*(handler|plain).*(methods|max_age|optional)"):
        Litestar([plain if make is get else handler], plugins=[GuardPlugin(KnownTokens())])


async def test_documents_are_closed_unless_they_are_said_to_be_public() -> None:
    """Those that Litestar adds by itself, too."""
    app = Litestar([orders], plugins=[GuardPlugin(KnownTokens())])
    for path in ("/schema", "/schema/openapi.json"):
        assert (await ask(app, path)).status == 401
        assert (await ask(app, path, method="OPTIONS")).status == 401


async def test_websockets(app: Litestar) -> None:
    """Refused at the handshake without a token."""
    socket = Socket()
    await app(socket.scope, socket.receive, socket.send)
    assert socket.outgoing[0]["status"] == 401
    socket = Socket(bearer())
    await app(socket.scope, socket.receive, socket.send)
    assert socket.outgoing[1]["text"] == ANN.user_id


def test_the_openapi_document(app: Litestar) -> None:
    """Says what needs a token, and of which kind."""
    document = app.openapi_schema.to_schema()
    scheme = document["components"]["securitySchemes"]["bearer"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    needs = {
        path: item["get"].get("security")
        for path, item in document["paths"].items()
        if not path.startswith("/schema")
    }
    assert needs == {
        "/orders": [{"bearer": []}],
        "/greeting": [{"bearer": []}, {}],
        "/admin/users": [{"bearer": []}],
        "/admin/orders": [{"bearer": []}],
        "/nearly": [{"bearer": []}],
        "/shop/till": [{"bearer": []}],
        "/shop/window": None,
        "/health": None,
    }
    assert "security" not in document
