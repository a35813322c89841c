"""The span of a request, around all else that is done for it."""

from collections.abc import Callable

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from opentelemetry.trace import Span, SpanContext, Status, StatusCode, format_trace_id, use_span

from service.tracing.telemetry import Telemetry, failed
from service.web.addresses import TrustedProxies
from service.web.exchange import TRACE
from service.web.headers import named_in

_PARENT, _STATE, _REQUEST_ID = b"traceparent", b"tracestate", b"x-request-id"


class TracingMiddleware:
    """ASGI middleware: a span for each request that is traced.

    `traceparent` is continued where a trusted proxy sends it; a trace that begins here is linked to
    what anybody else sends. A request without an id of its own gets the trace's, so that events,
    which carry it, lead to the trace.
    """

    def __init__(
        self, app: ASGIApp, telemetry: Callable[[], Telemetry | None], proxies: TrustedProxies
    ) -> None:
        """Wrap the app. `telemetry` is that of now; there is none before the start."""
        self._app = app
        self._telemetry = telemetry
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; anything but HTTP passes through."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        begun = self._begin(scope)
        if begun is None:
            await self._app(scope, receive, send)
            return
        context = begun if isinstance(begun, SpanContext) else begun.get_span_context()
        trace_id = format_trace_id(context.trace_id)
        scope["state"][TRACE] = trace_id
        if isinstance(begun, SpanContext):  # the caller traces it, and keeps no spans of it
            await self._app(scope, receive, send)
        else:
            await self._serve(begun, scope, receive, send)

    def _begin(self, scope: HTTPScope) -> Span | SpanContext | None:
        telemetry = self._telemetry()
        if telemetry is None:
            return None
        headers = named_in(scope)
        parent = headers.get(_PARENT, b"")
        peer = scope.get("client")
        return telemetry.begin(
            parent.decode("latin-1"),
            headers.get(_STATE, b"").decode("latin-1"),
            bool(parent and peer and self._proxies.trust(peer[0])),
        )

    async def _serve(self, span: Span, scope: HTTPScope, receive: Receive, send: Send) -> None:
        status = 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                for name, value in message["headers"]:
                    if name == _REQUEST_ID:
                        span.set_attribute("http.request.id", value.decode())
            await send(message)

        try:
            with use_span(span, record_exception=False, set_status_on_exception=False):
                await self._app(scope, receive, sent)
        except BaseException as error:  # cancelled, too: its span says so
            failed(span, error)
            raise
        finally:
            self._end(span, scope, status)

    @staticmethod
    def _end(span: Span, scope: HTTPScope, status: int) -> None:
        method, route = scope["method"], scope.get("path_template")
        span.update_name(f"{method} {route}" if route else method)
        span.set_attribute("http.request.method", method)
        span.set_attribute("http.response.status_code", status)
        if route:
            span.set_attribute("http.route", route)
        if status >= 500:
            span.set_attribute("error.type", str(status))
            span.set_status(Status(StatusCode.ERROR))
        span.end()
