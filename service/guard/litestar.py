"""The guard as a Litestar plugin.

    app = Litestar(routes, plugins=[GuardPlugin(Verifier(...))])

Every route needs an access token, but those (or their controller, router) with `opt={"public":
True}`. A handler with a parameter `identity: NamedDependency[Identity]` is told who called. An
address that does not exist is 404 without a token: Litestar's middleware runs for routes only.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from litestar import Litestar
from litestar.config.app import AppConfig
from litestar.di import Provide
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.plugins import InitPlugin, ReceiveRoutePlugin
from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import ASGIApp, Scope

from . import asgi_types
from .gate import Gate
from .identity import Identity
from .options import check_verifier
from .verifier import Verifier

_SCHEME = "bearer"


class GuardPlugin(InitPlugin, ReceiveRoutePlugin):
    """Adds middleware, the dependency `identity`, and the security scheme in OpenAPI."""

    def __init__(self, verifier: Verifier) -> None:
        """Leave it to the app to start and stop the verifier. Raises ValueError if it is none."""
        check_verifier(verifier)
        self._verifier = verifier

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        app_config.lifespan = [self._running, *(app_config.lifespan or ())]
        app_config.middleware.insert(0, self._middleware)
        app_config.dependencies["identity"] = Provide(_identity, sync_to_thread=False)
        if app_config.openapi_config:
            _describe(app_config.openapi_config)
        return app_config

    def receive_route(self, route: BaseRoute) -> None:
        """Close what Litestar adds by itself; tell the OpenAPI document what needs a token."""
        if isinstance(route, HTTPRoute):
            _close_options(route)
            for handler in route.route_handlers:
                if not _is_public(handler):
                    handler.security = [*(handler.security or ()), {_SCHEME: []}]

    @asynccontextmanager
    async def _running(self, _: Litestar) -> AsyncIterator[None]:
        async with self._verifier:
            yield

    def _middleware(self, app: ASGIApp) -> ASGIApp:
        inner = cast("asgi_types.ASGIApp", app)  # the same protocol, typed scope by scope
        return cast("ASGIApp", Gate(inner, self._verifier, _leads_to_public_route))


def _leads_to_public_route(scope: asgi_types.Scope) -> bool:
    return _is_public(scope["route_handler"])


def _is_public(handler: Any) -> bool:
    return handler.opt.get("public") is True


def _close_options(route: HTTPRoute) -> None:
    """Answer OPTIONS without a token only where each other method of the path needs none.

    Litestar's own handler for it takes over the `opt` of the controller, not of the handlers.
    """
    own = [it for it in route.route_handlers if it.fn.__module__.startswith("litestar.")]
    if not all(_is_public(handler) for handler in route.route_handlers if handler not in own):
        for handler in own:
            handler.opt = {**handler.opt, "public": False}


def _identity(scope: Scope) -> Identity | None:
    identity: Identity | None = scope["state"]["identity"]
    return identity


def _describe(config: OpenAPIConfig) -> None:
    scheme = SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")
    ours = Components(security_schemes={_SCHEME: scheme})
    theirs = config.components
    config.components = [ours, *(theirs if isinstance(theirs, list) else [theirs])]
