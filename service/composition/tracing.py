"""Puts what makes spans in the place of what it wraps, where `SERVICE_TRACING=on`."""

from functools import partial
from inspect import getmembers, iscoroutinefunction
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from litestar.types import ASGIApp
from sqlalchemy.ext.asyncio import AsyncEngine

from service import __version__
from service.composition.shared import create_redis_client
from service.database.reader import Reader, open_reader
from service.errors import SettingsError
from service.redis.client import RedisClient
from service.rollback.rollback import Rollback
from service.settings import Settings
from service.tracing import spans
from service.web.addresses import TrustedProxies

if TYPE_CHECKING:
    from service.tracing.telemetry import Telemetry

Parts = TypeVar("Parts", bound=msgspec.Struct)


class Tracing:
    """What makes spans of this process, and what is wrapped by it; off: what would be wrapped."""

    def __init__(self, settings: Settings) -> None:
        """Find the libraries if the settings need them.

        Raises:
            SettingsError: they are not installed.
        """
        self._settings = settings
        self._make = _library() if settings.tracing else None
        self._telemetry: Telemetry | None = None

    def start(self) -> None:
        """Begin to make spans, if the settings say so, until `close`."""
        if self._make is not None:
            self._telemetry = self._make(self._settings.trace_ratio, __version__)
            spans.use(self._telemetry)

    def redis_client(self, rollback: Rollback | None = None) -> RedisClient:
        """Create the client of Redis."""
        if self._telemetry is None:
            return create_redis_client(self._settings, rollback=rollback)
        from service.tracing.wrapped import TracedRedisClient

        kind = partial(TracedRedisClient, self._telemetry)
        return create_redis_client(self._settings, kind, rollback=rollback)

    def reader(self, engine: AsyncEngine) -> Reader:
        """Make the reader of a user store, and trace its statements."""
        reader = open_reader(engine)
        if self._telemetry is None:
            return reader
        from service.tracing.wrapped import TracedReader, system_of, trace_statements

        trace_statements(engine, self._telemetry)
        return TracedReader(reader, self._telemetry, system_of(engine))

    def services(self, services: Parts) -> Parts:
        """Trace the calls of use cases."""
        if self._telemetry is None:
            return services
        return _with_spans(services, self._telemetry)

    def middleware(self, app: ASGIApp, proxies: TrustedProxies) -> ASGIApp:
        """Trace the requests to an app."""
        if self._make is None:
            return app
        from service.web.tracing import TracingMiddleware

        return TracingMiddleware(app, lambda: self._telemetry, proxies)

    def close(self) -> None:
        """Send what is left, for two seconds at the most."""
        if self._telemetry is not None:
            spans.use(None)
            self._telemetry.close()
            self._telemetry = None


def _with_spans(parts: Parts, telemetry: "Telemetry") -> Parts:
    """Return `parts` with all use cases among them traced: whatever has methods that wait."""
    from service.tracing.wrapped import TracedUseCase

    traced: dict[str, Any] = {}
    for name in parts.__struct_fields__:
        part = getattr(parts, name)
        if isinstance(part, msgspec.Struct):
            traced[name] = _with_spans(part, telemetry)
        elif not callable(part) and getmembers(type(part), iscoroutinefunction):
            traced[name] = TracedUseCase(part, telemetry)
    return msgspec.structs.replace(parts, **traced)


def _library() -> "type[Telemetry]":
    try:
        from service.tracing.telemetry import Telemetry
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "opentelemetry":
            raise
        raise SettingsError(
            "SERVICE_TRACING=on needs OpenTelemetry: pip install 'openshow-auth[otel]'"
        ) from None
    return Telemetry
