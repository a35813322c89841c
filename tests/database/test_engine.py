"""The engine: private files, prepared connections, and honest errors."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from service.database.engine import open_database, ping, store_errors
from service.database.migration import migrate
from service.database.sqlite import database_file
from service.errors import StartupError, StoreUnavailable
from tests.support.user_stores import PATIENCE

BRIEF = timedelta(seconds=0.05)

ADD_KEY = text("INSERT INTO data_keys (epoch, wrapped, created_at) VALUES (:epoch, x'00', 0)")


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    migrate(url)
    engine = open_database(url)
    yield engine
    await engine.dispose()


def mode(file: Path) -> int | None:
    return file.stat().st_mode & 0o777 if file.exists() else None


def rename(file: Path, target: Path) -> Path:
    return file.rename(target)


async def test_files_are_private(engine: AsyncEngine, file: Path) -> None:
    """Proves that nobody else on the machine can read accounts, in none of SQLite's files."""
    async with engine.begin() as connection:
        await connection.execute(ADD_KEY, {"epoch": 1})
    found = {path.name.removeprefix(file.name): mode(path) for path in file.parent.iterdir()}
    assert found == {"": 0o600, "-wal": 0o600, "-shm": 0o600}


def test_the_file_is_never_open_to_others(url: str, file: Path) -> None:
    """Proves that it is made private, not made and then closed, whatever the umask is."""
    before = os.umask(0)
    try:
        database_file(url, make=True)
    finally:
        os.umask(before)
    assert mode(file) == 0o600


def test_an_open_file_is_closed_to_others(url: str, file: Path) -> None:
    """Proves that a file copied here with loose rights loses them at the start."""
    file.touch(mode=0o644)
    file.chmod(0o644)
    migrate(url)
    assert mode(file) == 0o600


@pytest.mark.parametrize("kind", ["text", "directory", "pipe"])
def test_what_is_no_database_is_left_as_it_is(tmp_path: Path, kind: str) -> None:
    """Proves that a URL that names another program's file by mistake takes no rights from it:
    as root this would be /etc/passwd, or /dev/null."""
    path = tmp_path / "of others"
    if kind == "text":
        path.write_text("root:x:0:0\n")
    elif kind == "directory":
        path.mkdir()
    else:
        os.mkfifo(path)
    path.chmod(0o755)
    with pytest.raises(StartupError, match="is no database of SQLite") as refused:
        database_file(f"sqlite:///{path}", make=True)
    assert mode(path) == 0o755
    assert "\n" not in str(refused.value)
    with pytest.raises(StartupError, match="must be sqlite:///path"):
        database_file("sqlite:///a\0b", make=True)


async def test_connections_are_prepared(engine: AsyncEngine) -> None:
    """Proves the settings on which durability and waiting for other writers rest."""
    async with engine.connect() as connection:
        found = {
            name: (await connection.execute(text(f"PRAGMA {name}"))).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 850,
    }


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite://hunter2/x.db",
        "sqlite:///x.db?mode=memory",
        "sqlite+aiosqlite:///x.db",
        "postgresql+psycopg://me:hunter2@db/accounts",
        "postgresql://me:hunter2@db:port/accounts",
        "mysql://me:hunter2@db/accounts",
    ],
)
def test_other_urls_are_refused(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proves that each is refused in one line with the setting's name, and no password in it."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StartupError, match=r"^SERVICE_DATABASE_URL ") as refused:
        open_database(url)
    assert "\n" not in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    """Proves that an unusable path is one line for the operator."""
    with pytest.raises(StartupError, match=r"^SERVICE_DATABASE_URL: .* No such file or directory$"):
        open_database(f"sqlite:///{tmp_path}/missing/x.db")


async def test_a_file_that_went_away_is_unavailable(engine: AsyncEngine, file: Path) -> None:
    """Proves that open connections do not go on writing into a deleted file, nor make a new one."""
    await ping(engine)
    moved = rename(file, file.with_suffix(".moved"))
    with pytest.raises(StoreUnavailable):
        await ping(engine)
    assert mode(file) is None
    rename(moved, file)
    await ping(engine)


def test_only_a_migration_makes_the_file(url: str, file: Path) -> None:
    """Proves that a process that starts while the file is away makes no empty one in its place."""
    with pytest.raises(StartupError, match=r"^SERVICE_DATABASE_URL: .* No such file or directory$"):
        open_database(url)
    assert not file.exists()


async def test_a_restored_file_is_used_at_once(engine: AsyncEngine, url: str, file: Path) -> None:
    """Proves that after a restore from backup nothing is written into the file it replaced."""
    await ping(engine)
    for path in list(file.parent.iterdir()):
        path.unlink()
    migrate(url)
    async with engine.begin() as connection:
        await connection.execute(ADD_KEY, {"epoch": 7})
    with sqlite3.connect(file) as restored:
        assert restored.execute("SELECT epoch FROM data_keys").fetchall() == [(7,)]
    restored.close()


async def test_a_database_without_the_schema_is_unavailable(url: str) -> None:
    """Proves that ready does not mean that some file could be opened."""
    database_file(url, make=True)
    engine = open_database(url)
    with pytest.raises(StoreUnavailable):
        await ping(engine)
    await engine.dispose()


async def test_a_lock_that_lasts_is_unavailable(url: str, file: Path) -> None:
    """Proves that a write does not wait for another process without end."""
    migrate(url)
    engine = open_database(url, patience=BRIEF)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable), store_errors():
        async with engine.begin() as connection:
            await connection.execute(ADD_KEY, {"epoch": 1})
    other.close()
    await engine.dispose()


async def test_a_lock_that_ends_in_time_is_waited_for(url: str, file: Path) -> None:
    """Proves that the caller says how long: here, longer than a request usually may."""
    migrate(url)
    engine = open_database(url, patience=PATIENCE)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    asyncio.get_running_loop().call_later(1.2, other.close)
    async with engine.begin() as connection:
        await connection.execute(ADD_KEY, {"epoch": 1})
    await engine.dispose()


async def test_an_exhausted_pool_is_unavailable(url: str) -> None:
    """Proves that a request does not wait for a connection without end."""
    migrate(url)
    engine = open_database(url, patience=BRIEF)
    held = [await engine.connect() for _ in range(4)]
    with pytest.raises(StoreUnavailable):
        await ping(engine)
    for connection in held:
        await connection.close()
    await engine.dispose()


async def test_violated_constraints_are_not_an_outage(engine: AsyncEngine) -> None:
    """Proves that a duplicate key stays an IntegrityError, and that errors show no values."""
    async with engine.begin() as connection:
        await connection.execute(ADD_KEY, {"epoch": 424242})
    with pytest.raises(IntegrityError) as refused, store_errors():
        async with engine.begin() as connection:
            await connection.execute(ADD_KEY, {"epoch": 424242})
    assert "424242" not in str(refused.value)
