"""Bringing the schema up to date: all of it or nothing, and one process at a time."""

import asyncio
import time
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, func, select
from sqlalchemy.exc import DBAPIError, OperationalError

from service.database.engine import database_file, is_postgresql, sqlite_url
from service.database.postgresql import open_for_migration
from service.errors import StartupError

PATIENCE = 30.0
"""Seconds to wait for another process that is migrating the same database."""

_SCRIPTS = Path(__file__).parent / "migrations"

_LOCK = 0x6F70656E73686F77
"""The key of the advisory lock: "openshow", which no other program on the database uses."""


def migrate(url: str) -> None:
    """Bring the database at `url` to this code's version; create it when there is none.

    May be called by any number of processes at once, but not from within an event loop. Killed
    half-way, it leaves the version that was there before.

    Raises:
        StartupError: the database is newer than this code, or cannot be opened and changed.
    """
    if is_postgresql(url):
        asyncio.run(_migrate_postgresql(url))
    else:
        _migrate_sqlite(database_file(url))


def _migrate_sqlite(file: Path) -> None:
    engine = create_engine(
        sqlite_url("sqlite", file),
        poolclass=NullPool,
        # isolation_level None: the one transaction begins below. The driver itself begins none
        # for DDL, each statement would be final, and a crash would leave half a schema.
        connect_args={"timeout": PATIENCE, "isolation_level": None},
    )
    try:
        with engine.connect() as connection:
            _use_write_ahead_log(connection)
            with connection.begin():
                # Waits until no other process migrates; held until the transaction ends.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                _upgrade(connection)
    except DBAPIError as error:
        raise StartupError(f"SERVICE_DATABASE_URL: {file} cannot be used: {error.orig}") from error


async def _migrate_postgresql(url: str) -> None:
    """The same on PostgreSQL, whose DDL belongs to the transaction as well."""
    engine = open_for_migration(url, PATIENCE)
    try:
        async with engine.begin() as connection:
            await connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
            await connection.run_sync(_upgrade)
    except DBAPIError as error:
        # The server's own words, which never hold the password.
        raise StartupError(
            f"SERVICE_DATABASE_URL: the database cannot be used: {error.orig}"
        ) from None
    except TimeoutError:
        raise StartupError("SERVICE_DATABASE_URL: the server does not answer") from None
    except OSError as error:
        raise StartupError(
            f"SERVICE_DATABASE_URL: the server cannot be reached: {error.strerror or error}"
        ) from None
    except ValueError:  # from the parser of the URL; may quote it
        raise StartupError("SERVICE_DATABASE_URL is not a database URL") from None
    finally:
        await engine.dispose()


def _use_write_ahead_log(connection: Connection) -> None:
    """Let readers go on while another writes. The file keeps the mode, so this happens once.

    The switch needs the file for itself and, unlike all else, does not wait for it: of processes
    that start at once all but one may be turned away, and try again.
    """
    deadline = time.monotonic() + PATIENCE
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


def _upgrade(connection: Connection) -> None:
    """Run the versions that are missing, inside the caller's transaction."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    for revision in MigrationContext.configure(connection).get_current_heads():
        if revision not in known:
            raise StartupError(
                f"SERVICE_DATABASE_URL: the database is at version {revision}, newer than this"
                " program; start the newer program"
            )
    command.upgrade(config, "head")
