"""SQLite: the file that a URL names, kept private, and connections that stay on that very file."""

import os
import stat
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from service.database.file_identity import identity_of
from service.errors import SettingsError, StartupError

_SQLITE = b"SQLite format 3\0"
"""What a database file begins with."""


def open_sqlite(url: str, patience: timedelta) -> AsyncEngine:
    """Make an engine for the file at `url`. Nothing is opened before the first statement.

    `patience` bounds the wait for a connection of the pool, and again that for another process'
    write.

    Raises:
        StartupError: the URL is not one that we can serve from, or there is no such file.
    """
    file, seconds = database_file(url, make=False), patience / timedelta(seconds=1)
    engine = create_async_engine(
        sqlite_url("sqlite+aiosqlite", file),
        # The driver begins a transaction by itself before a write, and only then. IMMEDIATE waits
        # its turn at once; a deferred one could fail half-way, when two upgrade from read to write.
        connect_args={"timeout": seconds, "isolation_level": "IMMEDIATE"},
        pool_size=4,  # each connection is a thread, and SQLite writes one at a time
        max_overflow=0,
        pool_timeout=seconds,
        hide_parameters=True,  # errors reach the log; e-mails and hashes must not
    )
    _prepare_connections(engine, file)
    return engine


def parse_url(url: str) -> URL:
    """Read a database URL. Raises `SettingsError` when it is none, without showing it."""
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        # `from None`: the cause quotes the URL, which may hold a password.
        raise SettingsError("SERVICE_DATABASE_URL is not a database URL") from None


def database_file(url: str, *, make: bool) -> Path:
    """Find the SQLite file that `url` names, and make it private; `make` one if it is missing.

    Returns its absolute path.

    Its `-wal` and `-shm` get their mode from SQLite, which copies that of the file.

    Raises:
        StartupError: the URL is not one that we can serve from, or the file is not there and cannot
            be made; or its log is all that is left of it.
    """
    parsed = parse_url(url)
    if parsed.drivername != "sqlite":
        raise SettingsError("SERVICE_DATABASE_URL must be sqlite:///path or postgresql://...")
    name = parsed.database or ""
    if name in ("", ":memory:") or "\0" in name or parsed.host or parsed.query:
        raise SettingsError("SERVICE_DATABASE_URL must be sqlite:///path, a file and no options")
    file = Path(name).absolute()
    if not file.name:  # the root of all
        raise SettingsError("SERVICE_DATABASE_URL must be sqlite:///path, a file and no options")
    try:
        if make:
            _refuse_lost(file)
            _make(file)
        _make_private(file)
    except OSError as error:
        problem = f"cannot be used: {error.strerror}"
        if isinstance(error, FileNotFoundError) and not make:
            problem = (
                "is not set up: run `openshow-auth migrate`, or name another place by "
                f"SERVICE_DATA_DIR or SERVICE_DATABASE_URL; it {problem}"
            )
        raise StartupError(f"SERVICE_DATABASE_URL: {file} {problem}") from error
    return file


def sqlite_url(drivername: str, file: Path) -> URL:
    """Make the URL by which SQLAlchemy opens `file`, and never creates it.

    A file that vanished must be an error: silently made anew, it would be an empty database.
    """
    return URL.create(
        drivername, database=f"file:{quote(str(file))}", query={"mode": "rw", "uri": "true"}
    )


def _refuse_lost(file: Path) -> None:
    """Keep a write-ahead log whose database is gone: SQLite deletes it beside an empty file."""
    log = file.with_name(f"{file.name}-wal")
    if not (log.exists() and log.stat().st_size):  # first: a new database gets its log last
        return
    if not (file.exists() and file.stat().st_size):
        raise StartupError(
            f"SERVICE_DATABASE_URL: {file} is missing or empty, but {log.name} beside it holds"
            " changes of that database: put it back, or restore both from a backup; to begin anew,"
            f" move {log.name} away"
        )


def _make(file: Path) -> None:
    """Create `file` with mode 0600, unless it is there."""
    # O_EXCL: a file that exists must not even be opened. Closing it again would drop the
    # locks that SQLite connections of this process hold on it (POSIX locks work like that).
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _make_private(file: Path) -> None:
    """Take others' rights from a database, and from nothing else."""
    mode = file.stat().st_mode
    if not stat.S_ISREG(mode):  # a directory, a device
        raise _no_database(file)
    if mode & 0o077:
        # It can be read here: whatever of this process has it open has made it private before.
        with file.open("rb") as opened:
            begins = opened.read(len(_SQLITE))
        if begins not in (b"", _SQLITE):
            raise _no_database(file)
        file.chmod(0o600)


def _no_database(file: Path) -> StartupError:
    return StartupError(
        f"SERVICE_DATABASE_URL: {file} is no database of SQLite, and nothing of it was changed"
    )


def _prepare_connections(engine: AsyncEngine, file: Path) -> None:
    """Set each connection's pragmas, and keep the pool off a file that has been replaced."""

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, record: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        # Log and checkpoint are synced at every commit: a signup that was answered survives a
        # power cut. (WAL itself is a property of the file, set by `migrate`.)
        cursor.execute("PRAGMA synchronous=FULL")
        # Off by default in SQLite, always on in PostgreSQL: one behaviour on both.
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()
        record.info["file"] = identity_of(file)

    @event.listens_for(engine.sync_engine, "checkout")
    def same_file(connection: Any, record: ConnectionPoolEntry, proxy: Any) -> None:
        # A connection outlives its file's name: after a restore from backup, or a deletion, it
        # would go on writing, with success, into what nobody will ever read again.
        if record.info["file"] != identity_of(file):
            raise DisconnectionError("the database file has been replaced")
