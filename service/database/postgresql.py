"""PostgreSQL: connections that keep to a deadline, whatever the server behind them does.

The URL is read by `libpq` and goes to asyncpg; so SQLAlchemy never sees it and cannot show it.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import asyncpg
from sqlalchemy import ExceptionContext, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from service.database import libpq
from service.database.engine import PATIENCE
from service.database.tables import UNTOLD, ix_users_untold

ix_users_untold.dialect_options["postgresql"]["where"] = UNTOLD

_CLOSE_PATIENCE = 0.1

# What a server that was demoted answers to each write, until it is left.
_READ_ONLY = "25006"

# What it answers to a statement that it has cancelled for taking too long.
_NOT_IN_TIME = "57014"

_NAME = "openshow-auth"


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """A connection that can be given a deadline, at which it is aborted.

    That ends whatever waits for it, at once. The driver's own timeouts would ask the server to
    cancel, and wait for that.
    """

    __slots__ = ("_deadline", "is_overdue")
    _deadline: asyncio.TimerHandle | None
    is_overdue: bool
    """Whether it was aborted at its deadline."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._deadline = None
        self.is_overdue = False

    def cut_after(self, seconds: float | None) -> None:
        """Set the deadline, in place of the one before; `None`: have none."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if seconds is not None:
            self._deadline = asyncio.get_running_loop().call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        self.is_overdue = True
        self.terminate()

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109  asyncpg's
        """Close the connection in order, but wait for the server `_CLOSE_PATIENCE` at the most."""
        try:
            await super().close(timeout=_CLOSE_PATIENCE)
        except TimeoutError:
            self.terminate()
        finally:
            self.cut_after(None)


def open_postgresql(
    url: str, connections: int, patience: timedelta = PATIENCE, work: timedelta | None = None
) -> AsyncEngine:
    """Open an engine for the PostgreSQL database at `url`, with at most so many connections.

    It waits for a connection as long as `patience` says, and for what is done on one as long as
    `work` does, the same if it is not given.
    """
    parameters = libpq.read(url)
    seconds = patience.total_seconds()
    working = (work or patience).total_seconds()
    session = {
        # A commit that was answered is on disk, whatever the database's own default is.
        "synchronous_commit": "on",
        # A pod that is frozen, or lost, in a transaction must not hold its locks for ever, and the
        # server must not go on with what nobody waits for any more.
        "idle_in_transaction_session_timeout": _longer(seconds),
        "statement_timeout": _longer(working),
    }

    async def connect() -> _Connection:
        try:
            connection: _Connection = await connect_to(parameters, seconds, _Connection)
        except asyncpg.InterfaceError:
            raise
        except (ValueError, OverflowError):  # of PGHOST and PGPORT, which the driver reads
            raise OSError(errno.EINVAL, "its host or port can be none") from None
        connection.cut_after(seconds)  # settings, and questions of the dialect before it is used
        await _prepare(connection, session | dict(parameters.session))
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
    _keep_deadlines(engine, working)
    _read_errors(engine)
    return engine


def open_for_migration(url: str, patience: float) -> AsyncEngine:
    """Open an engine for migrations, whose calls wait `patience` seconds for a connection."""
    parameters = libpq.read(url)

    async def connect() -> Any:
        connection = await connect_to(parameters, patience)
        if parameters.session:
            await _prepare(connection, parameters.session)
        return connection

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        isolation_level="READ COMMITTED",  # a version committed by another is seen after the wait
        poolclass=NullPool,
        hide_parameters=True,
    )


async def _prepare(connection: asyncpg.Connection, settings: Mapping[str, str]) -> None:
    """Give the session these settings, or leave no connection behind."""
    try:
        await connection.execute(_set(settings))
    except BaseException:  # cancelled, too: nobody else would close it
        connection.terminate()
        raise


async def connect_to(
    parameters: libpq.Parameters,
    seconds: float,
    kind: type[asyncpg.Connection] = asyncpg.Connection,
    **options: Any,
) -> Any:
    """Open a connection within so many seconds.

    Nothing but its name goes along when it is opened: poolers refuse what they do not know.
    """
    connection = await asyncpg.connect(
        **parameters.arguments(),
        timeout=min(seconds, parameters.connect_timeout or seconds),
        connection_class=kind,
        server_settings={"application_name": parameters.name or _NAME},
        **options,
    )
    transport = connection._transport.get_extra_info("socket")  # the driver gives no other way
    if transport is not None and transport.family != socket.AF_UNIX:
        _keep_alive(transport.fileno(), parameters)
    return connection


_SOCKET_OPTIONS = {
    "keepalives_idle": socket.TCP_KEEPIDLE,
    "keepalives_interval": socket.TCP_KEEPINTVL,
    "keepalives_count": socket.TCP_KEEPCNT,
    "tcp_user_timeout": socket.TCP_USER_TIMEOUT,
}


def _keep_alive(descriptor: int, parameters: libpq.Parameters) -> None:
    """Have the kernel find out that the server is gone, as the URL has it."""
    # A copy, because what event loops give out is no whole socket.
    with socket.socket(fileno=os.dup(descriptor)) as copy:
        copy.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(parameters.keepalives))
        for name, value in parameters.keepalive.items():
            if value > 0 and (parameters.keepalives or name == "tcp_user_timeout"):
                copy.setsockopt(socket.IPPROTO_TCP, _SOCKET_OPTIONS[name], value)


def _longer(seconds: float) -> str:
    return str(int(seconds * 2000) + 300)  # milliseconds


def _set(settings: Mapping[str, str]) -> str:
    """Spell one statement that gives the session these settings."""
    calls = (
        f"set_config({_quoted(name)}, {_quoted(value)}, false)" for name, value in settings.items()
    )
    return "SELECT " + ", ".join(calls)


def _quoted(text: str) -> str:
    return "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


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
        if isinstance(context.original_exception, asyncpg.InternalClientError):
            context.is_disconnect = True  # the driver has lost its way on this connection
        raw = context.connection and context.connection.connection.driver_connection
        if isinstance(raw, _Connection) and raw.is_overdue:
            context.original_exception.sqlstate = _NOT_IN_TIME  # type: ignore[attr-defined]  # as errors of a server have
        cause = context.original_exception.__cause__
        if isinstance(cause, asyncpg.PostgresError):
            cause.detail = None  # it quotes the row, and tracebacks would show it
            if cause.sqlstate == _READ_ONLY:
                context.is_disconnect = True  # all connections of this age are replaced
