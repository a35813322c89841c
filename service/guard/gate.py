"""Lets an HTTP or WebSocket request through to an ASGI app, with its identity, or answers it."""

from collections.abc import Callable

from .admission import required_token
from .asgi_types import ASGIApp, Message, Receive, Scope, Send
from .authentication import Answer, Refused, identify
from .credentials import offered_tokens
from .identity import current
from .rules import CLOSED, Rule
from .verifier import Verifier


class SessionEnded(OSError):
    """The session of an open WebSocket has ended. An `OSError`, as for a client that has gone."""


class Gate:
    """Lets requests pass that bring what their rule asks for.

    The app finds the identity in `scope["state"]["identity"]`, and `None` there where a request is
    public, or has no credential and need not have one.
    """

    def __init__(
        self,
        app: ASGIApp,
        verifier: Verifier,
        rule_of: Callable[[Scope], Rule],
        *,
        allow_preflight: bool = False,
        allow_cookie: bool = False,
    ) -> None:
        self._app = app
        self._verifier = verifier
        self._rule_of = rule_of
        self._allow_preflight = allow_preflight
        self._allow_cookie = allow_cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a scope of the type `http` or `websocket`."""
        identity = None
        rule = self._rule_of(scope)
        try:
            token = required_token(
                rule, scope, allow_preflight=self._allow_preflight, allow_cookie=self._allow_cookie
            )
            if token is not None:
                identity = await identify(self._verifier, token)
                if rule is not CLOSED:  # as most are
                    rule.requirement.check(identity)
        except Refused as refused:
            await _refuse(refused.answer, scope, receive, send)
            return
        if scope["type"] == "websocket":
            offered_tokens(scope)  # also where nobody asks for them, the app shall not see them
        # A dict of its own: some servers hand the same one to every request.
        scope["state"] = {**(scope.get("state") or {}), "identity": identity}
        before = current.set(identity)
        try:
            if token is None or scope["type"] == "http":
                await self._app(scope, receive, send)
            else:
                socket = _WatchedSocket(self._verifier, token, receive, send)
                await self._app(scope, socket.receive, socket.send)
        finally:
            current.reset(before)


class _WatchedSocket:
    """A WebSocket whose session is looked at again for each message, in both directions.

    It may stay open for days; a logout has to end it as it ends everything else.
    """

    def __init__(self, verifier: Verifier, token: str, receive: Receive, send: Send) -> None:
        self._verifier = verifier
        self._token = token
        self._receive = receive
        self._send = send
        self._closed = 0

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "websocket.receive" and (code := await self._close_unless_alive()):
            return {"type": "websocket.disconnect", "code": code, "reason": ""}
        return message

    async def send(self, message: Message) -> None:
        if self._closed:
            if message["type"] == "websocket.close":
                return
            raise SessionEnded
        if message["type"] == "websocket.send" and await self._close_unless_alive():
            raise SessionEnded
        await self._send(message)

    async def _close_unless_alive(self) -> int:
        """Return the code that the socket was closed with, 0 while the session lives."""
        if self._closed:  # for good, whatever can be said now
            return self._closed
        try:
            await identify(self._verifier, self._token)
        except Refused as refused:
            self._closed = refused.answer.close_code
            await self._send(_close(refused.answer))
            return self._closed
        return 0


def _close(answer: Answer) -> Message:
    return {"type": "websocket.close", "code": answer.close_code, "reason": answer.code}


async def _refuse(answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
    body, prefix = answer.body, ""
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send(_close(answer))
            return
        prefix = "websocket."
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        *((name.lower().encode(), value.encode()) for name, value in answer.headers),
    ]
    start = {"type": f"{prefix}http.response.start", "status": answer.status, "headers": headers}
    await send(start)
    sent = b"" if scope.get("method") == "HEAD" else body
    await send({"type": f"{prefix}http.response.body", "body": sent, "more_body": False})
