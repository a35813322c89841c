"""PostgreSQL: connections that keep to a deadline, whatever the server behind them does.

The URL goes to asyncpg as it is, which reads it as libpq does, `sslmode` and `host` included; so
SQLAlchemy never sees it and cannot show it.
"""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
from sqlalchemy import ExceptionContext, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

PATIENCE = timedelta(milliseconds=850)
"""Waited for a free connection of the pool, and again for a new one, or for a transaction.

A server that freezes holds up one of the latter two, never both: with the farewell of a stale
connection a call is told within two seconds.
"""

_CLOSE_PATIENCE = 0.1

# What a server that was demoted answers to each write, until it is left.
_READ_ONLY = "25006"

_NAME = "openshow-auth"


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # untyped base
    """A connection that can be given a deadline, at which it is cut.

    Cutting ends whatever waits for it, at once. The driver's own timeouts would ask the server to
    cancel, and wait for that.
    """

    __slots__ = ("_deadline",)
    _deadline: asyncio.TimerHandle | None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._deadline = None

    def cut_after(self, seconds: float | None) -> None:
        """Set the deadline, in place of the one before; `None`: have none."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if seconds is not None:
            self._deadline = asyncio.get_running_loop().call_later(seconds, self.terminate)

    # The parameter is the driver's own; its callers may pass it.
    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Say goodbye to the server, but do not wait for it longer than `_CLOSE_PATIENCE`."""
        try:
            await super().close(timeout=_CLOSE_PATIENCE)
        except TimeoutError:
            self.terminate()
        finally:
            self.cut_after(None)


def open_postgresql(url: str, connections: int, patience: timedelta = PATIENCE) -> AsyncEngine:
    """An engine for the PostgreSQL database at `url`, with at most so many connections."""
    seconds = patience.total_seconds()
    longer = str(int(seconds * 2000) + 300)  # milliseconds
    session = {
        "application_name": _NAME,
        # A commit that was answered is on disk, whatever the database's own default is.
        "synchronous_commit": "on",
        # A pod that is frozen, or lost, in a transaction must not hold its locks for ever, and the
        # server must not go on with what nobody waits for any more.
        "idle_in_transaction_session_timeout": longer,
        "statement_timeout": longer,
    }

    async def connect() -> _Connection:
        connection: _Connection = await asyncpg.connect(
            url,
            timeout=seconds,
            connection_class=_Connection,
            server_settings=session,
        )
        connection.cut_after(seconds)  # the dialect asks questions before it is used
        return connection

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        # Of the two who change a row the second sees what the first has left: each change is a
        # statement with a condition, or begins with one that locks the user's row.
        isolation_level="READ COMMITTED",
        pool_size=connections,
        max_overflow=0,
        pool_timeout=seconds,
        hide_parameters=True,  # errors reach the log; e-mails and hashes must not
    )
    _keep_deadlines(engine, seconds)
    _read_errors(engine)
    return engine


def open_for_migration(url: str, patience: float) -> AsyncEngine:
    """An engine whose connections wait `patience` seconds for locks, and for a connection."""

    async def connect() -> Any:
        settings = {"application_name": _NAME}
        settings["lock_timeout"] = str(int(patience * 1000))
        return await asyncpg.connect(url, timeout=patience, server_settings=settings)

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        isolation_level="READ COMMITTED",  # a version committed by another is seen after the wait
        poolclass=NullPool,
        hide_parameters=True,
    )


def _keep_deadlines(engine: AsyncEngine, seconds: float) -> None:
    """Give each use of a connection its deadline, and replace a connection that was lost."""

    @event.listens_for(engine.sync_engine, "checkout")
    def begin(connection: Any, record: ConnectionPoolEntry, proxy: Any) -> None:
        raw: _Connection = connection.driver_connection
        # Instead of a ping, which would cost each statement a second round trip: a server that
        # was stopped has closed its connections.
        if raw.is_closed():
            raise DisconnectionError("the server has closed the connection")
        raw.cut_after(seconds)

    @event.listens_for(engine.sync_engine, "checkin")
    def end(connection: Any, record: ConnectionPoolEntry) -> None:
        if connection is not None:
            raw: _Connection = connection.driver_connection
            raw.cut_after(None)


def _read_errors(engine: AsyncEngine) -> None:
    """Hide what PostgreSQL quotes of a row, and leave a server that is no primary any more."""

    @event.listens_for(engine.sync_engine, "handle_error")
    def read(context: ExceptionContext) -> None:
        cause = context.original_exception.__cause__
        if isinstance(cause, asyncpg.PostgresError):
            cause.detail = None  # it quotes the row, and tracebacks would show it
            if cause.sqlstate == _READ_ONLY:
                context.is_disconnect = True  # all connections of this age are replaced
