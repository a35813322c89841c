"""WebSockets: the handshake, and what becomes of an open one when its session ends."""

from typing import Any

import pytest

from service.guard.asgi import GuardMiddleware
from service.guard.gate import SessionEnded
from tests.guard.exchange import ANN, KnownTokens, Socket, bearer

ACCEPT = {"type": "websocket.accept"}


class Echo:
    """Says who is there, then repeats what it hears until the client has gone."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.heard.append(scope["state"]["identity"])
        await receive()
        await send(ACCEPT)
        while (message := await receive())["type"] == "websocket.receive":
            self.heard.append(message["text"])
            await send({"type": "websocket.send", "text": message["text"]})
        self.heard.append(message)
        await send({"type": "websocket.close", "code": 1000})


@pytest.fixture
def verifier() -> KnownTokens:
    return KnownTokens()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def app(echo: Echo, verifier: KnownTokens) -> GuardMiddleware:
    return GuardMiddleware(echo, verifier=verifier)


@pytest.mark.parametrize(
    ("headers", "lost", "status", "close"),
    [([], False, 401, 4401), ([bearer("bad")], False, 401, 4401), ([bearer()], True, 503, 1013)],
)
async def test_refused_at_the_handshake(
    app: Any, echo: Echo, verifier: KnownTokens, headers: Any, lost: bool, status: int, close: int
) -> None:
    """With an HTTP answer where the server can give one, else with a code; never accepted."""
    verifier.lost = lost
    socket = Socket(*headers)
    await app(socket.scope, socket.receive, socket.send)
    start, body = socket.outgoing
    assert (start["type"], start["status"]) == ("websocket.http.response.start", status)
    assert body["type"] == "websocket.http.response.body"
    assert b'"error"' in body["body"]
    socket = Socket(*headers, denial=False)
    await app(socket.scope, socket.receive, socket.send)
    [message] = socket.outgoing
    assert (message["type"], message["code"]) == ("websocket.close", close)
    assert not echo.heard
    assert not socket.incoming  # a server answers only whoever has heard of the connection


async def test_a_living_session_talks(app: Any, echo: Echo) -> None:
    """Both ways, until one hangs up."""
    socket = Socket(bearer())
    socket.say("one")
    socket.say("two")
    socket.incoming.append({"type": "websocket.disconnect", "code": 1005})
    await app(socket.scope, socket.receive, socket.send)
    assert echo.heard[:3] == [ANN, "one", "two"]
    assert [m.get("text") for m in socket.outgoing] == [None, "one", "two", None]
    assert socket.outgoing[-1] == {"type": "websocket.close", "code": 1000}


@pytest.mark.parametrize(("lost", "close"), [(False, 4401), (True, 1013)])
async def test_a_logout_ends_it(
    app: Any, echo: Echo, verifier: KnownTokens, lost: bool, close: int
) -> None:
    """What the client says after it never reaches the app, which sees the client hang up."""
    socket = Socket(bearer())
    socket.say("before")
    plain = socket.receive

    async def receive() -> Any:
        message = await plain()
        if message.get("text") == "after":
            verifier.lost, verifier.living = lost, {}
        return message

    socket.say("after")
    await app(socket.scope, receive, socket.send)
    assert echo.heard[:2] == [ANN, "before"]
    assert echo.heard[2:] == [{"type": "websocket.disconnect", "code": close, "reason": ""}]
    assert [m["type"] for m in socket.outgoing[-2:]] == ["websocket.send", "websocket.close"]
    assert socket.outgoing[-1]["code"] == close


async def test_a_logout_silences_the_app(verifier: KnownTokens) -> None:
    """Nothing that it sends after it reaches the client."""
    errors = []

    async def talker(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        verifier.living = {}
        for _ in range(2):
            try:
                await send({"type": "websocket.send", "text": "secret"})
            except SessionEnded as error:
                errors.append(error)
        await send({"type": "websocket.close", "code": 1000})

    socket = Socket(bearer())
    await GuardMiddleware(talker, verifier=verifier)(socket.scope, socket.receive, socket.send)
    assert [message["type"] for message in socket.outgoing] == [
        "websocket.accept",
        "websocket.close",
    ]
    assert (socket.outgoing[-1]["code"], len(errors)) == (4401, 2)


async def test_public_ones_are_not_watched(echo: Echo, verifier: KnownTokens) -> None:
    """Nor need they have a session."""
    app = GuardMiddleware(echo, verifier=verifier, public=["/feed"])
    verifier.lost = True
    socket = Socket()
    socket.say("hello")
    socket.incoming.append({"type": "websocket.disconnect", "code": 1005})
    await app(socket.scope, socket.receive, socket.send)
    assert echo.heard[:2] == [None, "hello"]


async def test_closed_is_closed(verifier: KnownTokens) -> None:
    """Though the verifier says yes again a moment later, nothing passes any more, either way."""
    seen: list[Any] = []

    async def talker(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        verifier.lost = True
        with pytest.raises(SessionEnded):
            await send({"type": "websocket.send", "text": "secret"})
        verifier.lost = False
        for _ in range(2):
            with pytest.raises(SessionEnded):
                await send({"type": "websocket.send", "text": "secret"})
        seen.append(await receive())

    socket = Socket(bearer())
    socket.say("after")
    await GuardMiddleware(talker, verifier=verifier)(socket.scope, socket.receive, socket.send)
    assert [m["type"] for m in socket.outgoing] == ["websocket.accept", "websocket.close"]
    assert socket.outgoing[-1]["code"] == 1013
    assert seen == [{"type": "websocket.disconnect", "code": 1013, "reason": ""}]


async def test_a_preflight_is_no_way_in(echo: Echo, verifier: KnownTokens) -> None:
    """A gate that lets them pass lets no WebSocket pass that has their headers."""
    app = GuardMiddleware(echo, verifier=verifier, allow_preflight=True)
    headers = [(b"origin", b"https://x"), (b"access-control-request-method", b"GET")]
    for method in ({}, {"method": "OPTIONS"}):
        socket = Socket(*headers)
        socket.scope |= method
        await app(socket.scope, socket.receive, socket.send)
        assert socket.outgoing[0]["status"] == 401
    assert not echo.heard
