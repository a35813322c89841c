"""The guard as ASGI middleware: for Starlette, FastAPI, Django, Litestar and any other ASGI app.

    app = GuardMiddleware(app, verifier=Verifier(...), public=["/health", "/static/"],
                          require={"/admin/": Requirement(methods={"otp"}, max_age=600)})

It starts and stops the verifier with the app, so the server must speak the lifespan protocol.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from .asgi_types import ASGIApp, Message, Receive, Scope, Send
from .gate import Gate
from .options import check_verifier, check_yes_or_no
from .path_rules import PathRules
from .rules import Requirement
from .verifier import Verifier


class GuardMiddleware:
    """Middleware that asks for the access token of a living session on all but public paths."""

    def __init__(
        self,
        app: ASGIApp,
        verifier: Verifier,
        *,
        public: Iterable[str] = (),
        optional: Iterable[str] = (),
        require: Mapping[str, Requirement] = MappingProxyType({}),
        allow_preflight: bool = False,
        allow_cookie: bool = False,
    ) -> None:
        """Wrap an app. Nothing is started yet.

        Args:
            public: paths that need no token: `/health` itself, `/static/` and all below it.
            optional: paths that may be asked for without a credential; one that is sent has to be
                good.
            require: what the login must have been like, by path: `/pay` itself, `/admin/` and all
                below it, `/` everything; of several that fit, all.
            allow_preflight: let CORS preflights through, for an app that answers them inside.
            allow_cookie: take the token of an `EventSource` of this origin from its cookie.

        Raises:
            ValueError: what is listed is no path, two lists contradict each other, or another
                argument cannot be used.
        """
        check_verifier(verifier)
        check_yes_or_no("allow_preflight", allow_preflight)
        check_yes_or_no("allow_cookie", allow_cookie)
        self._app = app
        self._verifier = verifier
        rules = PathRules(public, optional, require)
        self._gate = Gate(
            app, verifier, rules, allow_preflight=allow_preflight, allow_cookie=allow_cookie
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a scope. One of an unknown type is refused, since nobody can say what it may do."""
        if scope["type"] in ("http", "websocket"):
            await self._gate(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _Lifespan(self._app, self._verifier, receive, send).serve(scope)
        else:
            raise ValueError(f"the guard knows no rule for scopes of type {scope['type']!r}")


class _Lifespan:
    """Runs the verifier from before the app's startup until after its shutdown."""

    def __init__(self, app: ASGIApp, verifier: Verifier, receive: Receive, send: Send) -> None:
        self._app = app
        self._verifier = verifier
        self._receive = receive
        self._send = send
        self._asked = False
        self._last: Message | None = None

    async def serve(self, scope: Scope) -> None:
        startup = await self._receive()
        try:
            await self._verifier.__aenter__()
        except Exception as error:  # whatever it is, the server must hear that there is no start
            message = f"the guard cannot start: {type(error).__name__}"
            await self._send({"type": "lifespan.startup.failed", "message": message})
            raise
        try:
            await self._serve_app(scope, startup)
        finally:
            await self._verifier.__aexit__(None, None, None)
        if self._last:
            await self._send(self._last)

    async def _serve_app(self, scope: Scope, startup: Message) -> None:
        async def receive() -> Message:
            if not self._asked:
                self._asked = True
                return startup
            return await self._receive()

        try:
            await self._app(scope, receive, self._relay)
        except Exception:  # of any kind: so an app says that it has no lifespan, as Django does
            if self._asked:
                raise
        if not self._asked:
            await self._send({"type": "lifespan.startup.complete"})
            await self._receive()
            self._last = {"type": "lifespan.shutdown.complete"}

    async def _relay(self, message: Message) -> None:
        """Pass on the app's messages, but its last one only once the verifier has stopped."""
        if message["type"].startswith("lifespan.shutdown."):
            self._last = message
        else:
            await self._send(message)
