"""Where the access token of a browser may stand besides a header, and that apps see none there."""

from typing import Any

import msgspec
import pytest
from fastapi import Depends, FastAPI, WebSocket
from litestar import Litestar, WebSocket as LitestarSocket, get, websocket
from litestar.di import NamedDependency

from service.guard.asgi import GuardMiddleware
from service.guard.credentials import ACCESS_COOKIE
from service.guard.fastapi import install, require
from service.guard.identity import Identity, current_identity
from service.guard.litestar import GuardPlugin
from tests.guard.exchange import ANN, KnownTokens, Socket, ask, bearer
from tests.guard.test_websockets import Echo

OFFER = "openshow.bearer."


def offering(*protocols: str, headers: Any = (), listed: list[str] | None = None) -> Socket:
    """A WebSocket as a browser opens it, which can set no header."""
    named = (b"Sec-WebSocket-Protocol".lower(), ", ".join(protocols).encode())
    socket = Socket(*headers, named)
    socket.scope["subprotocols"] = list(protocols) if listed is None else listed
    return socket


class Seeing(Echo):
    """Keeps what the app could see."""

    scope: Any

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        await super().__call__(scope, receive, send)


@pytest.fixture
def verifier() -> KnownTokens:
    return KnownTokens()


@pytest.mark.parametrize("prefix", [OFFER, OFFER.upper()])
async def test_a_token_among_the_subprotocols(verifier: KnownTokens, prefix: str) -> None:
    """Says who calls; the app sees those of its own, and chooses one of them."""
    app = Seeing()
    socket = offering("chat.v2", f"{prefix}good", "chat.v1")
    socket.incoming.append({"type": "websocket.disconnect", "code": 1005})
    await GuardMiddleware(app, verifier=verifier)(socket.scope, socket.receive, socket.send)
    assert app.heard[0] == ANN
    assert app.scope["subprotocols"] == ["chat.v2", "chat.v1"]
    assert dict(app.scope["headers"])[b"sec-websocket-protocol"] == b"chat.v2, chat.v1"
    assert "good" not in repr(app.scope)


@pytest.mark.parametrize("rule", [{"public": ["/feed"]}, {"optional": ["/feed"]}])
async def test_an_app_never_sees_the_token(verifier: KnownTokens, rule: Any) -> None:
    """Also where nobody asks for it, and where it was the only one that was offered."""
    app = Seeing()
    socket = offering(f"{OFFER}good")
    socket.incoming.append({"type": "websocket.disconnect", "code": 1005})
    guarded = GuardMiddleware(app, verifier=verifier, **rule)
    await guarded(socket.scope, socket.receive, socket.send)
    assert app.heard[0] == (ANN if "optional" in rule else None)
    assert app.scope["subprotocols"] == []
    assert "good" not in repr(app.scope)
    assert b"sec-websocket-protocol" not in dict(app.scope["headers"])


@pytest.mark.parametrize(
    "socket",
    [
        lambda: offering(f"{OFFER}bad", "chat"),
        lambda: offering(OFFER, "chat"),
        lambda: offering(f"{OFFER}good", f"{OFFER}good", "chat"),
        lambda: offering(f"{OFFER}good", f"{OFFER}other", "chat"),
        lambda: offering(f"{OFFER}good", "chat", headers=[bearer()]),
        lambda: offering(f"{OFFER}good", "chat", headers=[(b"authorization", b"Basic x")]),
        lambda: offering(f"{OFFER}good", "chat", listed=[f"{OFFER}other", "chat"]),
        lambda: offering("chat", f"openshow.bearer{OFFER}good"),
    ],
)
@pytest.mark.parametrize("optional", [False, True])
async def test_what_is_refused(verifier: KnownTokens, socket: Any, optional: bool) -> None:
    """A token that does not count, two of them, and one besides Authorization."""
    app, opened = Seeing(), socket()
    none = opened.scope["subprotocols"] == ["chat", f"openshow.bearer{OFFER}good"]
    if none and optional:
        return  # no credential, which is allowed there
    rule = {"optional": ["/feed"]} if optional else {}
    guarded = GuardMiddleware(app, verifier=verifier, **rule)  # type: ignore[arg-type]
    await guarded(opened.scope, opened.receive, opened.send)
    assert not app.heard
    assert opened.outgoing[0]["status"] == 401
    challenge = dict(opened.outgoing[0]["headers"])[b"www-authenticate"]
    assert challenge.endswith(b'error="invalid_token"') == (not none)


async def test_an_open_socket_ends_with_its_session(verifier: KnownTokens) -> None:
    """As one with a header does."""
    app = Seeing()
    socket = offering(f"{OFFER}good", "chat")
    plain = socket.receive

    async def receive() -> Any:
        if not verifier.living:
            socket.say("after")
        message = await plain()
        verifier.living.clear()
        return message

    await GuardMiddleware(app, verifier=verifier)(socket.scope, receive, socket.send)
    assert socket.outgoing[-1]["code"] == 4401
    assert "after" not in app.heard


async def test_in_fastapi_and_litestar(verifier: KnownTokens) -> None:
    """Handlers see the subprotocols of their own only, also where two dependencies ask."""
    seen: list[Any] = []
    app = FastAPI()
    install(app, verifier)  # type: ignore[arg-type]
    both = [Depends(require(verifier, optional=True))]  # type: ignore[arg-type]

    @app.websocket("/feed", dependencies=both)
    async def feed(socket: WebSocket, me: Identity = Depends(require(verifier))) -> None:  # type: ignore[arg-type]  # noqa: B008
        seen.append((me, socket.scope["subprotocols"], dict(socket.headers), current_identity()))
        await socket.accept("chat")
        await socket.close()

    @app.websocket("/open")
    async def open_to_all(socket: WebSocket) -> None:
        seen.append((socket.scope["subprotocols"], dict(socket.headers)))
        await socket.accept("chat")
        await socket.close()

    socket = offering(f"{OFFER}good", "chat")
    socket.scope |= {"path": "/open", "raw_path": b"/open"}
    await app(socket.scope, socket.receive, socket.send)
    protocols, headers = seen.pop()
    assert (protocols, headers["sec-websocket-protocol"]) == (["chat"], "chat")

    @websocket("/feed")
    async def litestar_feed(socket: LitestarSocket[Any, Any, Any]) -> None:
        me = socket.scope["state"]["identity"]
        seen.append((me, socket.scope["subprotocols"], dict(socket.headers), current_identity()))
        await socket.accept(subprotocols="chat")
        await socket.close()

    plugin = GuardPlugin(verifier)  # type: ignore[arg-type]
    for served in (app, Litestar([litestar_feed], plugins=[plugin])):
        socket = offering(f"{OFFER}good", "chat")
        socket.scope["app"] = None
        await served(socket.scope, socket.receive, socket.send)
        me, protocols, headers, current = seen.pop()
        assert me == current == ANN
        assert protocols == ["chat"]
        assert headers["sec-websocket-protocol"] == "chat"
        assert socket.outgoing[0]["subprotocol"] == "chat"


EVENTS = [(b"accept", b"text/event-stream"), (b"sec-fetch-site", b"same-origin")]
COOKIE = (b"cookie", f"a=b; {ACCESS_COOKIE}=good; c=d".encode())


def cookie_apps(verifier: Any, **allowed: bool) -> list[Any]:
    """One of each kind, that answers with who calls."""

    async def plain(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        body = msgspec.json.encode(scope["state"]["identity"].user_id)
        await send({"type": "http.response.body", "body": body})

    app = FastAPI()
    install(app, verifier)

    @app.get("/events")
    @app.post("/events")
    async def events(me: Identity = Depends(require(verifier, **allowed))) -> str:  # type: ignore[arg-type]  # noqa: B008
        return me.user_id

    @get("/events")
    async def litestar_events(identity: NamedDependency[Identity]) -> str:
        return identity.user_id

    return [
        GuardMiddleware(plain, verifier=verifier, **allowed),  # type: ignore[arg-type]
        app,
        Litestar([litestar_events], plugins=[GuardPlugin(verifier, **allowed)]),
    ]


@pytest.mark.parametrize("kind", [0, 1, 2])
async def test_an_event_source_by_its_cookie(verifier: KnownTokens, kind: int) -> None:
    """Where that is allowed, of the same origin, and for nothing but an EventSource."""
    app = cookie_apps(verifier, allow_cookie=True)[kind]
    answer = await ask(app, "/events", *EVENTS, COOKIE)
    assert (answer.status, answer.body.strip(b'"')) == (200, ANN.user_id.encode())
    accept, site = EVENTS
    refused: list[Any] = [
        [accept, COOKIE],
        [accept, (b"sec-fetch-site", b"same-site"), COOKIE],
        [accept, (b"sec-fetch-site", b"cross-site"), COOKIE],
        [accept, (b"sec-fetch-site", b"none"), COOKIE],
        [accept, site, (b"sec-fetch-site", b"cross-site"), COOKIE],
        [site, COOKIE],
        [(b"accept", b"*/*"), site, COOKIE],
        [*EVENTS, (b"cookie", b"openshow_access=good")],
        [*EVENTS, (b"cookie", f"{ACCESS_COOKIE}=".encode())],
        [*EVENTS, (b"cookie", f"{ACCESS_COOKIE}=bad".encode())],
        [*EVENTS, COOKIE, COOKIE],
        [*EVENTS, COOKIE, (b"authorization", b"Bearer bad")],
    ]
    for headers in refused:
        assert (await ask(app, "/events", *headers)).status == 401, headers
    assert (await ask(app, "/events", bearer(), COOKIE)).status == 200
    if kind < 2:
        assert (await ask(app, "/events", *EVENTS, COOKIE, method="POST")).status == 401
    off = cookie_apps(verifier)[kind]
    assert (await ask(off, "/events", *EVENTS, COOKIE)).status == 401


async def test_who_is_current(verifier: KnownTokens) -> None:
    """Is known far from the request, and only while it is served; requests do not mix."""
    seen: list[Identity | None] = []

    async def plain(scope: Any, receive: Any, send: Any) -> None:
        seen.append(current_identity())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    app = FastAPI()
    install(app, verifier)  # type: ignore[arg-type]

    @app.get("/mine", dependencies=[Depends(require(verifier))])  # type: ignore[arg-type]
    def mine() -> None:
        seen.append(current_identity())

    @app.get("/open")
    async def everybodys() -> None:
        seen.append(current_identity())

    guarded = GuardMiddleware(plain, verifier=verifier, public=["/open"])  # type: ignore[arg-type]
    for served in (app, guarded):
        for path in ("/mine", "/open"):
            assert (await ask(served, path, bearer())).status == 200
            assert current_identity() is None
    assert seen == [ANN, None, ANN, None]
