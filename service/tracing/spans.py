"""Spans around what other rooms do now and then: calls to key services, mail servers, webhooks.

What every request does has no line of this in it: see `wrapped.py`.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

Attributes = Mapping[str, str | int]


class Tracer(Protocol):
    """Makes spans. `service.tracing.telemetry` has the one there is."""

    def span(
        self, name: str, attributes: Attributes, *, rare: bool
    ) -> AbstractContextManager[object]:
        """Make a span of a call to somebody else, open while the context is."""


_tracer: Tracer | None = None


def use(tracer: Tracer | None) -> None:
    """Have this process' spans made by `tracer`, or by nobody."""
    global _tracer
    _tracer = tracer


def span(
    name: str, attributes: Attributes | None = None, *, rare: bool = False
) -> AbstractContextManager[object]:
    """Make a span of a call to somebody else, under that of the request if it has one.

    Outside of requests one of so many is kept, as of requests; of what is `rare`, all are.
    `attributes` must hold nothing that is secret or personal.
    """
    return _tracer.span(name, attributes or {}, rare=rare) if _tracer else nullcontext()
