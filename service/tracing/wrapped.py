"""Parts of the service that make spans of what they do, to be put in the place of those they wrap.

Where the request that is being served is not traced they ask one question and go on.
"""

from collections.abc import Mapping, Sequence
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

from opentelemetry.trace import Span, SpanKind
from sqlalchemy import Select, event
from sqlalchemy.engine import Connection, ExceptionContext, ExecutionContext
from sqlalchemy.ext.asyncio import AsyncEngine

from service.database.reader import AccountState, Reader, Rows
from service.redis import scripts
from service.redis.client import RedisClient
from service.redis.connection import Argument
from service.tracing.telemetry import Telemetry, failed, is_recording

_SPAN = "openshow_auth_span"


class TracedUseCase:
    """A use case of which each call is a span, named by class and method."""

    def __init__(self, use_case: object, telemetry: Telemetry) -> None:
        self._use_case = use_case
        self._telemetry = telemetry

    def __getattr__(self, name: str) -> Any:
        """Find a method of the use case, and keep it as it is traced."""
        method = getattr(self._use_case, name)
        if not iscoroutinefunction(method):
            return method
        telemetry, span_name = self._telemetry, f"{type(self._use_case).__name__}.{name}"

        @wraps(method)
        async def traced(*arguments: Any, **named: Any) -> Any:
            if not is_recording():
                return await method(*arguments, **named)
            with telemetry.inside(span_name):
                return await method(*arguments, **named)

        setattr(self, name, traced)
        return traced


class TracedRedisClient(RedisClient):
    """A client of Redis that makes a span of each command: its name or script, no arguments."""

    def __init__(self, telemetry: Telemetry, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._telemetry = telemetry

    async def _execute(self, command: tuple[Argument, ...], changing: bool) -> Any:
        if not is_recording():
            return await super()._execute(command, changing)
        operation = str(command[0])
        attributes = {"db.system.name": "redis", "db.operation.name": operation}
        if stored := scripts.name_of(command):
            attributes["db.stored_procedure.name"] = stored
        name = f"{operation} {stored}" if stored else operation
        with self._telemetry.inside(name, SpanKind.CLIENT, attributes):
            return await super()._execute(command, changing)


class TracedReader:
    """A reader of the user store that makes a span of each read."""

    def __init__(self, reader: Reader, telemetry: Telemetry, system: str) -> None:
        self._reader = reader
        self._telemetry = telemetry
        self._attributes = {"db.system.name": system, "db.operation.name": "SELECT"}
        self.store = reader.store

    def rows(self, columns: Select[Any]) -> Rows:
        """Make what reads these columns of users."""
        read = self._reader.rows(columns)

        async def traced(user_ids: Sequence[bytes]) -> Sequence[tuple[Any, ...]]:
            if not is_recording():
                return await read(user_ids)
            with self._telemetry.inside("SELECT users", SpanKind.CLIENT, self._attributes):
                return await read(user_ids)

        return traced

    async def states(self, user_ids: Sequence[bytes]) -> Mapping[bytes, AccountState]:
        """Read the states of accounts."""
        if not is_recording():
            return await self._reader.states(user_ids)
        with self._telemetry.inside("SELECT users", SpanKind.CLIENT, self._attributes):
            return await self._reader.states(user_ids)


def trace_statements(engine: AsyncEngine, telemetry: Telemetry) -> None:
    """Make a span of each statement of an engine: its first word, and neither text nor values."""
    system = system_of(engine)

    def begin(
        connection: Connection,
        cursor: object,
        statement: str,
        parameters: object,
        context: ExecutionContext | None,
        executemany: bool,
    ) -> None:
        if is_recording():
            operation = statement.lstrip().partition(" ")[0].upper()
            attributes = {"db.system.name": system, "db.operation.name": operation}
            connection.info[_SPAN] = telemetry.begun(operation, SpanKind.CLIENT, attributes)

    def end(connection: Connection, *_: object) -> None:
        if (span := connection.info.pop(_SPAN, None)) is not None:
            span.end()

    def fail(failure: ExceptionContext) -> None:
        if failure.connection is None:
            return
        span: Span | None = failure.connection.info.pop(_SPAN, None)
        if span is not None:
            failed(span, failure.original_exception)
            span.end()

    event.listen(engine.sync_engine, "before_cursor_execute", begin)
    event.listen(engine.sync_engine, "after_cursor_execute", end)
    event.listen(engine.sync_engine, "handle_error", fail)


def system_of(engine: AsyncEngine) -> str:
    """Name the database as OpenTelemetry's conventions do: `sqlite` or `postgresql`."""
    return engine.dialect.name
