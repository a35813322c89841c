"""An ASGI server reduced to what a test can see, and a verifier that knows its tokens by heart."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from service.guard.errors import GuardUnavailable, TokenRefused
from service.guard.identity import Identity

ANN = Identity(
    user_id="a" * 32, session_id="b" * 24, auth_time=0, methods=("pwd",), expires_at=2**31
)


class KnownTokens:
    """Stands where a `Verifier` would: `good` is Ann's, until she is taken out of `living`."""

    def __init__(self) -> None:
        self.living = {"good": ANN}
        self.lost = False
        self.steps: list[str] = []

    async def __aenter__(self) -> "KnownTokens":
        self.steps.append("verifier starts")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.steps.append("verifier stops")

    async def verify(self, token: str) -> Identity:
        if self.lost:
            raise GuardUnavailable(retry_after=3)
        if token not in self.living:
            raise TokenRefused
        return self.living[token]


class Answered(msgspec.Struct):
    """What a server was sent back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of an error, which must have the contract's shape."""
        error = msgspec.json.decode(self.body)["error"]
        assert set(error) == {"code", "message"}
        assert self.headers["content-type"] == "application/json"
        assert self.headers["cache-control"] == "no-store"
        assert int(self.headers["content-length"]) == len(self.body)
        return str(error["code"])


def bearer(token: str = "good") -> tuple[bytes, bytes]:
    return b"authorization", b"Bearer " + token.encode("latin-1")


def http_scope(path: str, headers: Sequence[tuple[bytes, bytes]], **more: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"pod.example"), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": {},
        **more,
    }


async def ask(app: Any, path: str, *headers: tuple[bytes, bytes], **more: Any) -> Answered:
    """Send a request without a body, and collect the answer."""
    sent: list[dict[str, Any]] = []
    incoming = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        return incoming.pop() if incoming else await asyncio.Event().wait()  # stays connected

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(http_scope(path, headers, **more), receive, send)
    head, *rest = sent
    names = [(name.decode(), value.decode()) for name, value in head["headers"]]
    assert len(dict(names)) == len(names)
    return Answered(head["status"], dict(names), b"".join(part["body"] for part in rest))


class Socket:
    """A WebSocket client: what it sends to the app, and what comes back."""

    def __init__(self, *headers: tuple[bytes, bytes], denial: bool = True) -> None:
        extensions: dict[str, Any] = {"websocket.http.response": {}} if denial else {}
        self.scope = http_scope("/feed", headers, extensions=extensions, subprotocols=[])
        self.scope |= {"type": "websocket", "scheme": "ws"}
        del self.scope["method"]
        self.incoming: list[dict[str, Any]] = [{"type": "websocket.connect"}]
        self.outgoing: list[dict[str, Any]] = []

    def say(self, text: str) -> None:
        self.incoming.append({"type": "websocket.receive", "text": text})

    async def receive(self) -> dict[str, Any]:
        return self.incoming.pop(0)

    async def send(self, message: dict[str, Any]) -> None:
        self.outgoing.append(message)


@asynccontextmanager
async def running(app: Any) -> AsyncIterator[Any]:
    """`app` between its startup and its shutdown, as a server runs it."""
    incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    task = asyncio.create_task(app(scope, incoming.get, outgoing.put))
    await incoming.put({"type": "lifespan.startup"})
    assert (await outgoing.get())["type"] == "lifespan.startup.complete"
    yield app
    await incoming.put({"type": "lifespan.shutdown"})
    assert (await outgoing.get())["type"] == "lifespan.shutdown.complete"
    await task
