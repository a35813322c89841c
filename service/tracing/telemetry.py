"""The spans of this process, and where they go: OTLP over HTTP, as OpenTelemetry's SDK sends it.

Which requests are traced is decided before anything is made for one, so that the others cost a
number drawn at random: https://opentelemetry.io/docs/specs/otel/trace/sdk/#sampling.
"""

import logging
import os
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    get_current_span,
    use_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.tracing.spans import Attributes

_PATIENCE = 2.0
"""Seconds that the last spans may take to be sent when the process ends."""

_propagator = TraceContextTextMapPropagator()

# It warns of malformed headers, and quotes them: text of anybody's, as much as they like.
logging.getLogger("opentelemetry.trace").setLevel(logging.ERROR)


class Telemetry:
    """Makes spans of a part of all requests, and sends them.

    Who receives them, and with which headers, `OTEL_EXPORTER_OTLP_…` says, as to every program.
    """

    def __init__(self, ratio: float, version: str) -> None:
        """Start the thread that sends. `ratio`, from 0 to 1: of requests that nobody traces yet."""
        self._ratio = ratio
        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "openshow-auth"}
        resource = Resource.create({**named, "service.version": version})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("openshow_auth", version)

    def begin(self, traceparent: str, tracestate: str, trusted: bool) -> Span | SpanContext | None:
        """Begin the span of a request, if it is one that is traced.

        What a `trusted` caller sends is continued, and its decision to trace or not is kept: then
        the answer may be its context alone. What anybody else sends is only linked to: a stranger
        must not decide how much is traced. Nothing of it is read where the request is not traced.
        """
        if trusted and (caller := _caller(traceparent, tracestate)):
            continued = get_current_span(caller).get_span_context()
            return self._server(caller) if continued.trace_flags.sampled else continued
        if not self._chosen():
            return None
        stranger = None if trusted else _caller(traceparent)
        links = [Link(get_current_span(stranger).get_span_context())] if stranger else []
        return self._server(Context(), links)

    @contextmanager
    def span(self, name: str, attributes: Attributes, *, rare: bool = False) -> Iterator[Span]:
        """Make a span of a call to somebody else: see `service.tracing.spans.span`."""
        within = get_current_span().is_recording()
        if not within and not rare and not self._chosen():
            yield INVALID_SPAN
            return
        with self.inside(name, SpanKind.CLIENT, attributes) as made:
            yield made

    @contextmanager
    def inside(
        self, name: str, kind: SpanKind = SpanKind.INTERNAL, attributes: Attributes | None = None
    ) -> Iterator[Span]:
        """Make a span inside the one that is open. It tells the class of an error, no more."""
        made = self.begun(name, kind, attributes)
        try:
            with use_span(made, record_exception=False, set_status_on_exception=False):
                yield made
        except BaseException as error:  # cancelled, too: its span says so
            failed(made, error)
            raise
        finally:
            made.end()

    def begun(
        self, name: str, kind: SpanKind = SpanKind.CLIENT, attributes: Attributes | None = None
    ) -> Span:
        """Begin a span inside the one that is open; whoever asked ends it."""
        return self._tracer.start_span(name, kind=kind, attributes=dict(attributes or {}))

    def close(self) -> None:
        """Send what is left, for two seconds at the most."""
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(_PATIENCE)

    def _chosen(self) -> bool:
        return random.random() < self._ratio  # noqa: S311  # which are traced is no secret

    def _server(self, context: Context, links: list[Link] | None = None) -> Span:
        return self._tracer.start_span(
            "request", context=context, kind=SpanKind.SERVER, links=links or []
        )


def failed(span: Span, error: BaseException) -> None:
    """Note that what a span is of ended with an error: its class, as its text may say more."""
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(Status(StatusCode.ERROR))


def is_recording() -> bool:
    """Tell whether the request that is being served is traced."""
    return get_current_span().is_recording()


def _caller(traceparent: str, tracestate: str = "") -> Context | None:
    if not traceparent:
        return None
    carrier: Mapping[str, str] = {"traceparent": traceparent, "tracestate": tracestate}
    context = _propagator.extract(carrier, Context())
    return context if get_current_span(context).get_span_context().is_valid else None
