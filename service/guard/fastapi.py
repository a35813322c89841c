"""The guard as a FastAPI dependency.

    verifier = Verifier(...)
    app = FastAPI()
    install(app, verifier)
    Caller = Annotated[Identity, Depends(require(verifier))]

    @app.get("/orders")
    async def orders(caller: Caller) -> ...

A route without the dependency is open. Where all but a few routes need a token, add
`GuardMiddleware` instead (`asgi.py`) and read `request.state.identity`.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response, WebSocketException
from fastapi.openapi.models import HTTPBearer
from fastapi.requests import HTTPConnection
from fastapi.security.base import SecurityBase

from .asgi_types import ASGIApp, Receive, Scope, Send
from .authentication import NO_CREDENTIAL, Answer, Refused, identify
from .credentials import credential, offered_tokens
from .identity import Identity, current
from .options import check_verifier, check_yes_or_no
from .rules import Requirement, check_optional
from .verifier import Verifier


def install(app: FastAPI, verifier: Verifier) -> None:
    """Run the verifier while the app runs, and answer in the shape that the service answers in.

    Raises:
        ValueError: it is no verifier.
    """
    check_verifier(verifier)
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        async with verifier, inner(app) as state:
            yield state

    app.router.lifespan_context = lifespan
    app.add_exception_handler(_Refusal, _respond)
    app.add_middleware(_OwnContext)


def require(
    verifier: Verifier,
    *,
    methods: Iterable[str] = (),
    max_age: timedelta | float | None = None,
    optional: bool = False,
    allow_cookie: bool = False,
) -> "Required":
    """Make a dependency that yields the `Identity` of the caller, for HTTP and WebSocket routes.

    With `methods`, such as `{"otp"}`, the login must have used all of these (`amr`, RFC 8176); with
    `max_age`, a timedelta or seconds, it must not be longer ago. Else the client is told to prove
    anew who it is (RFC 9470). With `optional` it yields `None` for a request without a credential.
    With `allow_cookie` it takes the token of an `EventSource` of this origin from its cookie.
    The same arguments make an equal dependency: `app.dependency_overrides[require(verifier)] = …`.

    Raises:
        ValueError: an argument, which it names, cannot be used.
    """
    check_verifier(verifier)
    requirement = Requirement(methods=methods, max_age=max_age)
    check_optional(optional, requirement)
    check_yes_or_no("allow_cookie", allow_cookie)
    return Required(verifier, requirement, optional=optional, allow_cookie=allow_cookie)


class Required(SecurityBase):
    """What `require` makes. As a `SecurityBase`, it shows in the OpenAPI document."""

    def __init__(
        self,
        verifier: Verifier,
        requirement: Requirement,
        *,
        optional: bool,
        allow_cookie: bool,
    ) -> None:
        self.scheme_name = "bearer"
        self.model = HTTPBearer(bearerFormat="JWT")
        self._verifier = verifier
        self._requirement = requirement
        self._optional = optional
        self._allow_cookie = allow_cookie

    def __eq__(self, other: object) -> bool:
        """Whether it asks the same: so `dependency_overrides` finds one that is written inline."""
        return isinstance(other, Required) and self._asked == other._asked

    def __hash__(self) -> int:
        return hash(self._asked)

    @property
    def _asked(self) -> tuple[object, ...]:
        return id(self._verifier), self._requirement, self._optional, self._allow_cookie

    async def __call__(self, connection: HTTPConnection) -> Identity | None:
        scope = connection.scope
        try:
            token = credential(scope, allow_cookie=self._allow_cookie)
            identity = await identify(self._verifier, token)
            self._requirement.check(identity)
        except Refused as refused:
            answer = refused.answer
            if answer is NO_CREDENTIAL and self._optional:
                return None
            if scope["type"] == "websocket" and not _can_be_answered(scope):
                raise WebSocketException(answer.close_code, answer.code) from refused
            raise _Refusal(answer) from refused
        current.set(identity)
        return identity


class _OwnContext:
    """Middleware that takes back who is current, and takes tokens out of subprotocols, so that no
    route sees one, be it one that asks for nobody."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            offered_tokens(scope)
        before = current.set(None)
        try:
            await self._app(scope, receive, send)
        finally:
            current.reset(before)


class _Refusal(HTTPException):
    """An answer as an exception that FastAPI knows, should `install` have been forgotten."""

    def __init__(self, answer: Answer) -> None:
        headers = {**dict(answer.headers), "Cache-Control": "no-store"}
        super().__init__(answer.status, {"code": answer.code, "message": answer.message}, headers)
        self.answer = answer


def _can_be_answered(scope: Any) -> bool:
    return "websocket.http.response" in (scope.get("extensions") or {})


def _respond(_: Request, error: Exception) -> Response:
    assert isinstance(error, _Refusal)  # noqa: S101  what it is registered for
    return Response(error.answer.body, error.status_code, error.headers, "application/json")
