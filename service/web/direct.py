"""Calls the handlers of the busiest routes directly, past what Litestar does for other kinds.

For a handler that takes a request and a JSON body, Litestar's routing, parameters, dependencies and
responses come to the same calls in the same order, and take a fifth of the time of a logout. They
are Litestar's routes all the same: it describes them, and answers whoever asks by another method.
"""

from collections.abc import Sequence
from inspect import iscoroutinefunction
from typing import Any

import msgspec
from litestar import Litestar
from litestar.enums import ScopeType
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from service.web.authentication import authenticate
from service.web.errors import HANDLERS
from service.web.headers import Header
from service.web.requests import JsonRequest
from service.web.responses import spelt


class _Route(msgspec.Struct, frozen=True, eq=False):
    path: str
    handler: HTTPRouteHandler
    takes_body: bool
    headers: Sequence[Header]


class _Request(JsonRequest):
    """A request without what Litestar prepares for queries, forms, cookies and extensions."""

    __slots__ = ()

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self.receive, self.send = scope, receive, send  # type: ignore[assignment]  # of HTTP
        self._read = None


class DirectRoutes:
    """ASGI app that serves some routes of a Litestar app, and leaves all else to that app."""

    def __init__(self, app: Litestar, handlers: Sequence[HTTPRouteHandler]) -> None:
        """Serve the routes of these `handlers` of `app`, each with one path.

        Raises:
            ValueError: one asks for what is not done here.
        """
        self._app = app
        self._routes: dict[tuple[str, str], _Route] = {}
        paths = {path for handler in handlers for path in handler.paths}
        for route in app.routes:
            if route.path in paths:
                for handler in getattr(route, "route_handlers", ()):
                    for method in handler.http_methods - {"OPTIONS"}:
                        self._routes[method, route.path] = _route(route.path, handler)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or hand it over."""
        route = None
        if scope["type"] == ScopeType.HTTP and not scope.get("root_path"):
            route = self._routes.get((scope["method"], scope["path"]))
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["app"] = scope["litestar_app"] = self._app
        scope["path_params"], scope["path_template"] = {}, route.path
        scope["route_handler"] = handler = route.handler
        request = _Request(scope, receive, send)
        answer: ASGIApp
        try:
            await authenticate(request)
            if route.takes_body:
                content = await handler.fn(request=request, data=await request.json())
            else:
                content = await handler.fn(request=request)
            answer = spelt(request, content, handler.status_code, route.headers)
        except Exception as error:  # as Litestar does: each has its answer, and a defect its line
            handle: Any = next(HANDLERS[kind] for kind in type(error).__mro__ if kind in HANDLERS)
            answer = handle(request, error).to_asgi_response(app=None, request=request)
        await answer(scope, receive, send)


def _route(path: str, handler: HTTPRouteHandler) -> _Route:
    """Look at what a handler asks for."""
    takes = set(handler.parsed_fn_signature.parameters)
    asks_for_more = (
        takes - {"request", "data"},
        handler.resolve_guards(),
        handler.resolve_dependencies(),
        handler.after_request,
        handler.resolve_after_response(),
        handler.resolve_response_cookies(),
        handler.media_type != "application/json",
    )
    if (
        any(asks_for_more)
        or "request" not in takes
        or not iscoroutinefunction(handler.fn)
        or handler.resolve_before_request() is not authenticate
    ):
        raise ValueError(f"{path} is no route to be served directly")
    return _Route(path, handler, "data" in takes, _headers(handler))


def _headers(handler: HTTPRouteHandler) -> list[Header]:
    """List the headers that each answer of a route has, unless it is an error."""
    return [
        (header.name.lower().encode(), str(header.value).encode())
        for header in handler.resolve_response_headers()
        if not header.documentation_only
    ]
