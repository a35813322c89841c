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

from .authentication import Answer, Refused, identify, identify_if_any
from .identity import Identity
from .options import check_verifier
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


def require(
    verifier: Verifier,
    *,
    methods: Iterable[str] = (),
    max_age: timedelta | float | None = None,
    optional: bool = False,
) -> "Required":
    """Make a dependency that yields the `Identity` of the caller, for HTTP and WebSocket routes.

    With `methods`, such as `{"otp"}`, the login must have used all of these (`amr`, RFC 8176); with
    `max_age`, a timedelta or seconds, it must not be longer ago. Else the client is told to prove
    anew who it is (RFC 9470). With `optional` it yields `None` for a request without a credential.
    The same arguments make an equal dependency: `app.dependency_overrides[require(verifier)] = …`.

    Raises:
        ValueError: an argument, which it names, cannot be used.
    """
    check_verifier(verifier)
    requirement = Requirement(methods=methods, max_age=max_age)
    check_optional(optional, requirement)
    return Required(verifier, requirement, optional=optional)


class Required(SecurityBase):
    """What `require` makes. As a `SecurityBase`, it shows in the OpenAPI document."""

    def __init__(self, verifier: Verifier, requirement: Requirement, *, optional: bool) -> None:
        self.scheme_name = "bearer"
        self.model = HTTPBearer(bearerFormat="JWT")
        self._verifier = verifier
        self._requirement = requirement
        self._optional = optional
        self._identify = identify_if_any if optional else identify

    def __eq__(self, other: object) -> bool:
        """Whether it asks the same: so `dependency_overrides` finds one that is written inline."""
        return isinstance(other, Required) and self._asked == other._asked

    def __hash__(self) -> int:
        return hash(self._asked)

    @property
    def _asked(self) -> tuple[object, ...]:
        return id(self._verifier), self._requirement, self._optional

    async def __call__(self, connection: HTTPConnection) -> Identity | None:
        scope = connection.scope
        try:
            identity = await self._identify(self._verifier, scope["headers"])
            if identity is not None:
                self._requirement.check(identity)
        except Refused as refused:
            answer = refused.answer
            if scope["type"] == "websocket" and not _can_be_answered(scope):
                raise WebSocketException(answer.close_code, answer.code) from refused
            raise _Refusal(answer) from refused
        return identity


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
