"""The guard as a Litestar plugin.

    app = Litestar(routes, plugins=[GuardPlugin(Verifier(...))])

Every route needs an access token, but those (or their controller, router) with `opt={"public":
True}`. Others say with `opt={"optional": True}` that they may be called without one, or with
`opt={"methods": {"otp"}, "max_age": 600}` what the login must have been like (RFC 9470). A handler
with a parameter `identity: NamedDependency[Identity]` is told who called. An address that does not
exist is 404 without a token: Litestar's middleware runs for routes only.
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
from litestar.routes import ASGIRoute, BaseRoute, HTTPRoute, WebSocketRoute
from litestar.types import ASGIApp, Scope

from . import asgi_types
from .gate import Gate
from .identity import Identity
from .options import check_verifier, check_yes_or_no
from .rules import CLOSED, OPTIONAL, PUBLIC, Requirement, Rule, check_optional
from .verifier import Verifier

_SCHEME = "bearer"


class GuardPlugin(InitPlugin, ReceiveRoutePlugin):
    """Adds middleware, the dependency `identity`, and the security scheme in OpenAPI."""

    def __init__(self, verifier: Verifier, *, allow_cookie: bool = False) -> None:
        """Leave it to the app to start and stop the verifier.

        `allow_cookie`: take the token of an `EventSource` of this origin from its cookie.

        Raises:
            ValueError: it is no verifier, or another argument cannot be used.
        """
        check_verifier(verifier)
        check_yes_or_no("allow_cookie", allow_cookie)
        self._allow_cookie = allow_cookie
        self._verifier = verifier
        self._rules: dict[Any, Rule] = {}

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        if any(isinstance(it, GuardPlugin) and it is not self for it in app_config.plugins):
            raise ValueError("an app takes one GuardPlugin; give each verifier an app to mount")
        app_config.lifespan = [self._running, *(app_config.lifespan or ())]
        app_config.middleware.insert(0, self._middleware)
        app_config.dependencies["identity"] = Provide(_identity, sync_to_thread=False)
        if app_config.openapi_config:
            _describe(app_config.openapi_config)
        return app_config

    def receive_route(self, route: BaseRoute) -> None:
        """Read what the route asks for; tell the OpenAPI document what needs a token.

        Raises:
            ValueError: its `opt` says what cannot be, or two things that contradict each other.
        """
        if isinstance(route, HTTPRoute):
            own = [it for it in route.route_handlers if it.fn.__module__.startswith("litestar.")]
            theirs = {it: _rule(it) for it in route.route_handlers if it not in own}
            rules = theirs | {it: _rule_of_own(it, list(theirs.values())) for it in own}
            self._rules |= rules
            for handler, rule in rules.items():
                _describe_handler(handler, rule)
        elif isinstance(route, WebSocketRoute | ASGIRoute):
            self._rules[route.route_handler] = _rule(route.route_handler)

    @asynccontextmanager
    async def _running(self, _: Litestar) -> AsyncIterator[None]:
        async with self._verifier:
            yield

    def _middleware(self, app: ASGIApp) -> ASGIApp:
        inner = cast("asgi_types.ASGIApp", app)  # the same protocol, typed scope by scope
        gate = Gate(inner, self._verifier, self._rule_of, allow_cookie=self._allow_cookie)
        return cast("ASGIApp", gate)

    def _rule_of(self, scope: asgi_types.Scope) -> Rule:
        handler = scope["route_handler"]
        return self._rules.get(handler) or _rule(handler)


def _rule(handler: Any) -> Rule:
    """Read the `opt` of a handler and of what is above it."""
    opt = handler.opt
    try:
        requirement = Requirement(methods=opt.get("methods", ()), max_age=opt.get("max_age"))
        check_optional(optional := opt.get("optional", False), requirement)
        if opt.get("public") is not True:
            closed = Rule(requirement=requirement) if requirement else CLOSED
            return OPTIONAL if optional else closed
        if requirement or optional:
            raise ValueError("public: nobody is looked at there; no methods, max_age or optional")
    except ValueError as fault:
        raise ValueError(f"opt of {handler}: {fault}") from None
    return PUBLIC


def _rule_of_own(handler: Any, others: list[Rule]) -> Rule:
    """Close what Litestar adds by itself as far as each other method of the path is.

    Its own handler for OPTIONS takes over the `opt` of the controller, not of the handlers.
    """
    rule = _rule(handler)
    if any(other.credential == "required" for other in others):
        return rule if rule.credential == "required" else CLOSED
    return OPTIONAL if rule is PUBLIC and OPTIONAL in others else rule


def _describe_handler(handler: Any, rule: Rule) -> None:
    if rule is not PUBLIC:
        without: list[dict[str, list[str]]] = [{}] if rule is OPTIONAL else []
        handler.security = [*(handler.security or ()), {_SCHEME: []}, *without]


def _identity(scope: Scope) -> Identity | None:
    identity: Identity | None = scope["state"]["identity"]
    return identity


def _describe(config: OpenAPIConfig) -> None:
    scheme = SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")
    ours = Components(security_schemes={_SCHEME: scheme})
    theirs = config.components
    config.components = [ours, *(theirs if isinstance(theirs, list) else [theirs])]
