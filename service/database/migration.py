"""Brings the schema up to date: all of it or nothing, and one process at a time.

A start that finds nothing to do reads two small tables and locks nothing. One that changes tables
waits for each lock a fifth of a second at most: behind a strong lock that waits, everybody who
reads waits as well. It lets go, gives way, and tries again.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection, NullPool, TextClause, create_engine, func, select, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import versions
from service.database.engine import is_postgresql
from service.database.sqlite import database_file, sqlite_url
from service.errors import SettingsError, StartupError

PATIENCE = 30.0
"""Seconds to wait for another process that is migrating, and for whoever uses the tables."""

_LONGER = "`openshow-auth migrate --wait SECONDS` waits longer"

_LOCK_PATIENCE = "200ms"
"""How long readers may be held up by a lock that waits before them."""

_GIVE_WAY = 1.0
"""Seconds between two tries, in which all who had to wait for locks are served."""

_LOCK = 0x6F70656E73686F77
"""The key of the advisory lock: "openshow", which no other program on the database uses."""

_KEY_FILE = "local.keys"  # that of `service.keyring.kms.local`, made at the first start

_LOCK_NOT_AVAILABLE, _DEADLOCK = "55P03", "40P01"

_SETTINGS = (  # of the session; a default of the role must not cut a migration short
    "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = {}"
)

_OLDEST_TRANSACTION = text(
    "SELECT pid, coalesce(nullif(application_name, ''), 'unnamed'),"
    " extract(epoch from now() - xact_start)::int"
    " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND xact_start IS NOT NULL AND backend_type = 'client backend' ORDER BY xact_start LIMIT 1"
)

_MIGRATING = text(
    "SELECT a.pid, coalesce(nullif(a.application_name, ''), 'unnamed'),"
    " extract(epoch from now() - a.backend_start)::int"
    " FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.granted"
    " AND l.locktype = 'advisory' AND l.database = (SELECT oid FROM pg_database WHERE datname ="
    " current_database()) AND (l.classid::bigint << 32 | l.objid::bigint) = :lock LIMIT 1"
).bindparams(lock=_LOCK)

log = structlog.get_logger()


def migrate(
    url: str,
    patience: float | None = None,
    run: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run,
) -> None:
    """Bring the database at `url` to this code's version; create it when there is none.

    May be called by any number of processes at once, but not from within an event loop. Killed
    half-way, it leaves the version that was there before. A newer database is left as it is, if
    programs of this version may use it. It waits `patience` seconds for each of who else migrates
    and who uses the tables, and says that it does. `run`: runs what waits for PostgreSQL.

    Raises:
        StartupError: this program cannot serve from the database, or it cannot be opened and
            changed.
    """
    if is_postgresql(url):
        run(_migrate_postgresql(url, patience or PATIENCE))
    else:
        _migrate_sqlite(database_file(url, make=True), patience or PATIENCE)


def _migrate_sqlite(file: Path, patience: float) -> None:
    engine = create_engine(
        sqlite_url("sqlite", file),
        poolclass=NullPool,
        # isolation_level None: the one transaction begins below. The driver itself begins none
        # for DDL, each statement would be final, and a crash would leave half a schema.
        connect_args={"timeout": patience, "isolation_level": None},
    )
    try:
        with engine.connect() as connection:
            behind = versions.is_behind(connection)
            if behind:
                _refuse_lost(connection, file)
            connection.rollback()  # ends what SQLAlchemy holds for a transaction
            _use_write_ahead_log(connection, patience)
            if not behind:
                return
            with connection.begin():
                # Waits until no other process migrates; held until the transaction ends.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                versions.upgrade(connection)
    except DBAPIError as error:
        waited = getattr(error.orig, "sqlite_errorname", "").startswith("SQLITE_BUSY")
        longer = f", by another process, for {patience:g} s: {_LONGER}" if waited else ""
        raise StartupError(
            f"SERVICE_DATABASE_URL: {file} cannot be used: {error.orig}{longer}"
        ) from error


def _refuse_lost(connection: Connection, file: Path) -> None:
    """Refuse an empty database beside a key file: keys are made after tables, so those are lost."""
    key_file = file.parent / _KEY_FILE
    if versions.is_new(connection) and key_file.exists():
        raise StartupError(
            f"SERVICE_DATABASE_URL: {file} is empty, but {key_file} beside it was made for a"
            " database that held accounts: restore that database from a backup; to begin anew,"
            " move the key file away"
        )


async def _migrate_postgresql(url: str, patience: float) -> None:
    """Migrate on PostgreSQL, whose DDL belongs to the transaction as well."""
    import asyncpg  # a start on SQLite does without

    from service.database.poolers import refuse_shared_sessions
    from service.database.postgresql import open_for_migration

    try:
        engine = open_for_migration(url, PATIENCE)
        await refuse_shared_sessions(url)
        try:
            async with engine.connect() as connection:
                await _migrate_on(connection, patience)
        finally:
            await engine.dispose()
    except DBAPIError as error:
        # The server's own words, which never hold the password.
        raise StartupError(
            f"SERVICE_DATABASE_URL: the database cannot be used: {error.orig}"
        ) from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StartupError(f"SERVICE_DATABASE_URL: the database cannot be used: {error}") from None
    except TimeoutError:
        raise StartupError("SERVICE_DATABASE_URL: the server does not answer") from None
    except OSError as error:
        raise StartupError(
            f"SERVICE_DATABASE_URL: the server cannot be reached: {error.strerror or error}"
        ) from None
    except (ValueError, OverflowError):  # of the URL, PGHOST or PGPORT; may quote it
        raise SettingsError("SERVICE_DATABASE_URL is not a database URL") from None


async def _migrate_on(connection: AsyncConnection, patience: float) -> None:
    if not await connection.run_sync(versions.is_behind):
        return
    await connection.rollback()
    raw: Any = (await connection.get_raw_connection()).driver_connection
    await raw.execute(_SETTINGS.format(max(int(patience * 1000), 1)))
    await _wait_for_turn(connection, patience)
    try:
        await _upgrade_giving_way(connection, patience)
    finally:
        if not connection.closed and not connection.invalidated:
            await connection.rollback()
            await connection.execute(select(func.pg_advisory_unlock(_LOCK)))
            await connection.commit()


async def _wait_for_turn(connection: AsyncConnection, patience: float) -> None:
    """Take the lock of those who migrate.

    It is of the session, not of a transaction: it outlasts tries that fail. The only long wait, and
    nobody else waits for it but those who migrate. It ends with the connection at the latest.
    """
    if not await connection.scalar(select(func.pg_try_advisory_lock(_LOCK))):
        whose = await _told(connection, _MIGRATING)
        await connection.commit()
        log.warning("another process migrates: waiting for it", seconds=patience, whose=whose)
        try:
            await connection.execute(select(func.pg_advisory_lock(_LOCK)))
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            raise StartupError(
                f"SERVICE_DATABASE_URL: another process{whose} has been migrating the tables for"
                f" more than {patience:g} s: {_LONGER}"
            ) from None
    await connection.commit()


async def _upgrade_giving_way(connection: AsyncConnection, patience: float) -> None:
    """Upgrade, trying again until every lock is free at once."""
    deadline, said = time.monotonic() + patience, False
    while True:
        try:
            async with connection.begin():
                await connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_PATIENCE}'"))
                await connection.run_sync(versions.upgrade)
                return
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None)
            if state not in (_LOCK_NOT_AVAILABLE, _DEADLOCK):
                raise
        over = time.monotonic() > deadline
        if over or not said:
            async with connection.begin():
                whose = await _told(connection, _OLDEST_TRANSACTION, "the oldest: ")
        if over:
            raise StartupError(
                f"SERVICE_DATABASE_URL: the tables cannot be migrated while other transactions use"
                f" them{whose}, for {patience:g} s: try again when they have ended; {_LONGER}"
            )
        if not said:
            log.warning("waiting for transactions on the tables", seconds=patience, whose=whose)
            said = True
        await asyncio.sleep(_GIVE_WAY)


async def _told(connection: AsyncConnection, query: TextClause, which: str = "") -> str:
    """Say who is in the way, as far as can be seen."""
    found = (await connection.execute(query)).first()
    return f" ({which}pid {found[0]}, {found[1]}, for {found[2]} s)" if found else ""


def _use_write_ahead_log(connection: Connection, patience: float) -> None:
    """Let readers go on while another writes. The file keeps the mode, so this happens once.

    The switch needs the file for itself and, unlike all else, does not wait for it: of processes
    that start at once all but one may be turned away, and try again.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        except OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)  # SQLite has nothing to wait on here; the deadline above bounds it
        else:
            connection.rollback()  # ends what SQLAlchemy holds for a transaction
            return
