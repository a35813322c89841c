"""Opens an engine for a database URL: a bounded pool of prepared connections.

SQLite or PostgreSQL: nothing outside this package knows which of the two it is.
"""

import secrets
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import exists, false, insert, select
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
    TimeoutError as PoolTimeoutError,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from service.database import libpq, outages, sqlite
from service.database.tables import password_costs, recovery_codes, users
from service.errors import StoreUnavailable

# What the statement or its values are to blame for, unless the error says otherwise.
_OUR_OWN_MISTAKES = (IntegrityError, DataError, ProgrammingError, NotSupportedError)

_FAILURES = (
    DBAPIError,
    PoolTimeoutError,
    sqlite3.Error,  # of reads past SQLAlchemy
    OSError,  # drivers that use sockets
    MemoryError,  # SQLite's
)

PATIENCE = timedelta(milliseconds=850)
"""How long to wait for a free connection of the pool, and again for a new one, or a transaction.

A server that freezes holds up one of the latter two, never both: with the closing of a stale
connection a call is answered within two seconds.
"""


def open_database(
    url: str,
    connections: int = 8,
    patience: timedelta = PATIENCE,
    work: timedelta | None = None,
) -> AsyncEngine:
    """Open an engine for the database at `url`, whose schema `migrate` has brought up to date.

    The pool holds at most so many `connections` to PostgreSQL. `patience` bounds each thing that a
    call waits for, and `work`, if it is given, what is done on a connection. SQLite has as many
    connections as it can use, and takes the time that it takes.

    Nothing is opened before the first statement. Close it with `await engine.dispose()`.

    Raises:
        StartupError: the URL is not one that we can serve from; names the setting, not the URL.
            Or it names a file that is not there: only `migrate` makes one.
    """
    if is_postgresql(url):
        from service.database import postgresql  # and its driver, which SQLite does without

        return postgresql.open_postgresql(url, connections, patience, work)
    return sqlite.open_sqlite(url, patience)


def is_postgresql(url: str) -> bool:
    """Tell whether `url` names a PostgreSQL database. Raises `SettingsError` if it is no URL."""
    return libpq.is_postgresql(url) or sqlite.parse_url(url).drivername == "postgresql"


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn errors of a database that cannot serve into `StoreUnavailable`: around every use of it.

    The message says what is wrong with it. Violated constraints and errors in the statement itself
    pass through unchanged.
    """
    try:
        yield
    except Exception as error:  # which are its failures only a look tells; others go on
        if not (isinstance(error, _FAILURES) or _is_of_postgresql(error)):
            raise
        why = outages.reason(error)
        if why is None and isinstance(error, _OUR_OWN_MISTAKES):
            raise
        raise StoreUnavailable(f"the user store {why or 'cannot be reached'}") from error


def _is_of_postgresql(error: Exception) -> bool:
    """Tell whether asyncpg raised it, past SQLAlchemy. What is not loaded has raised nothing."""
    asyncpg = sys.modules.get("asyncpg")
    return asyncpg is not None and isinstance(
        error,
        (
            asyncpg.PostgresError,  # while connecting
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,  # the server has said goodbye, and not hung up yet
        ),
    )


def insert_of(dialect: str) -> Any:
    """Return the `insert` of a dialect, which can say what is done about conflicts."""
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql as of  # not loaded on SQLite
    else:
        from sqlalchemy.dialects import sqlite as of  # type: ignore[no-redef]  # one of the two
    return of.insert


async def ping(engine: AsyncEngine) -> None:
    """Read from the users table. Raises `StoreUnavailable` when that does not work."""
    with store_errors():
        async with engine.connect() as connection:
            await connection.execute(_READ_ONE)


async def check_writable(engine: AsyncEngine) -> None:
    """Make a change that leaves nothing behind, as durably as any other; see that all can be read.

    Raises:
        StoreUnavailable: that does not work; the message says why.
    """
    with store_errors():
        async with engine.connect() as connection:
            await connection.execute(_READ_ONE)
            await connection.execute(_READ_ALL)
            if engine.dialect.name == "sqlite":
                # What is taken back would stay in memory. A field of the file that is the program's
                # own is written, logged and synced like a row.
                await connection.exec_driver_sql(f"PRAGMA user_version = {secrets.randbits(31)}")
                return
            # The insert is taken back, and the commit around it waits for the disk, and for
            # standbys where there are any, as that of a sign-up does.
            nested = await connection.begin_nested()
            probe = secrets.token_bytes(16)
            await connection.execute(_ADD_ONE, {"id": probe, "email_key": probe.hex()})
            await nested.rollback()
            await connection.commit()


_READ_ONE = select(users.c.id).limit(1)  # `SELECT 1` would not even look at SQLite's file
_READ_ALL = select(  # no row, but each column that a call needs has to be there
    users, exists(select(recovery_codes)), exists(select(password_costs))
).where(false())
_ADD_ONE = insert(users).values(email="", password_hash="", password_scheme=0, created_at=0)
