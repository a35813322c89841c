"""Migrating PostgreSQL while pods serve and others hold the tables: nobody is kept waiting."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from tools.testbed.postgresql import PostgresServer

from service.accounts import second_factor_statements
from service.cli.program import _parser
from service.database import migration
from service.database.engine import open_database, ping, store_errors
from service.database.migration import migrate
from service.errors import StartupError, StoreUnavailable
from service.keyring import data_key_rotation as epochs
from tests.database.migrating import migrate_to
from tests.support.log_state import captured
from tests.support.run_queue import Stopwatch
from tests.support.user_stores import PATIENCE


@pytest.fixture
def behind(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database to whose tables a version is missing that takes strong locks."""
    with postgres.database(migrated=False) as name:
        migrate_to(postgres.url(name), "0002", monkeypatch)
        yield postgres.url(name)


@pytest.fixture
async def reader(behind: str) -> AsyncIterator[asyncpg.Connection]:
    """Somebody who has read the users and leaves their transaction open, as `pg_dump` does."""
    connection = await asyncpg.connect(behind)
    await connection.execute("BEGIN; SELECT * FROM users")
    yield connection
    await connection.close()


async def slowest_read(engine: AsyncEngine, until: asyncio.Task[None]) -> float:
    """Seconds, while `until` goes on. Each read must succeed."""
    slowest = 0.0
    while not until.done():
        started = time.monotonic()
        await ping(engine)
        slowest = max(slowest, time.monotonic() - started)
    return slowest


async def test_reads_go_on_while_a_migration_waits(
    behind: str, reader: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proves that running pods read all along, in time, and that the migration is carried out once
    the transaction in its way has ended."""
    monkeypatch.setattr(migration, "_GIVE_WAY", 0.2)
    engine = open_database(behind, patience=PATIENCE)
    since = Stopwatch()
    migrating = asyncio.create_task(asyncio.to_thread(migrate, behind))
    asyncio.get_running_loop().call_later(
        5, lambda: asyncio.ensure_future(reader.execute("ROLLBACK"))
    )
    slowest = await slowest_read(engine, migrating) - since.waited
    assert slowest < 3, "it has waited for the transaction as well"
    await migrating
    await engine.dispose()
    found = await reader.fetchval("SELECT version_num FROM openshow_schema")
    assert found > "0002"


async def test_who_is_in_the_way_is_told(
    behind: str, reader: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proves that the operator reads in one line whose transaction it is."""
    monkeypatch.setattr(migration, "PATIENCE", 1.0)
    await reader.execute("SET application_name = 'nightly dump'")
    with pytest.raises(StartupError, match=r"other transactions use them.*nightly dump") as refused:
        await asyncio.to_thread(migrate, behind)
    assert "\n" not in str(refused.value)


async def test_who_migrates_is_told(behind: str) -> None:
    """Proves that the operator reads at once whom it waits for, and then how to wait longer."""
    holder = await asyncpg.connect(behind, server_settings={"application_name": "other pod"})
    await holder.execute(f"SELECT pg_advisory_lock({migration._LOCK})")
    with captured() as lines:
        with pytest.raises(StartupError, match=r"other pod.*more than 1 s.*--wait SECONDS"):
            await asyncio.to_thread(migrate, behind, 1)
        assert len(lines) == 1
        waiting = asyncio.create_task(asyncio.to_thread(migrate, behind, 60))
        while len(lines) < 2:  # noqa: ASYNC110  another thread appends to it
            await asyncio.sleep(0.01)
        await holder.close()
        await waiting
    assert [(line["seconds"], "other pod" in line["whose"]) for line in lines] == [
        (1, True),
        (60, True),
    ]
    found = await asyncpg.connect(behind)
    assert await found.fetchval("SELECT version_num FROM openshow_schema") > "0002"
    await found.close()


async def test_what_is_waited_for_is_told_once(
    behind: str, reader: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proves that the wait for a transaction is said before it is over, not with each try."""
    monkeypatch.setattr(migration, "_GIVE_WAY", 0.05)
    await reader.execute("SET application_name = 'nightly dump'")
    with captured() as lines, pytest.raises(StartupError, match=r"for 1 s.*--wait SECONDS"):
        await asyncio.to_thread(migrate, behind, 1)
    assert ["nightly dump" in line["whose"] for line in lines] == [True]


def test_a_held_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proves the same of SQLite, where nobody can tell who it is."""
    url = f"sqlite:///{tmp_path / 'service.db'}"
    migrate_to(url, "0002", monkeypatch)
    with closing(sqlite3.connect(tmp_path / "service.db")) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StartupError, match=r"locked, by another process, for 1 s.*--wait"):
            migrate(url, 1)


@pytest.mark.parametrize("wait", ["0", "-1", "1.5", "x", "", "86401", "9" * 5000])
def test_a_wrong_wait_is_refused(wait: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Proves that usage is told, and that the number that is right arrives."""
    with pytest.raises(SystemExit, match="2"):
        _parser().parse_args(["migrate", "--wait", wait])
    assert "1 to 86400" in capsys.readouterr().err
    assert _parser().parse_args(["migrate", "--wait", "86400"]).wait == 86_400
    assert _parser().parse_args(["migrate"]).wait is None


async def test_a_start_with_nothing_to_migrate_waits_for_nobody(postgres: PostgresServer) -> None:
    """Proves that it takes no lock: not that of migrations, nor one on a table."""
    with postgres.database() as name:
        connection = await asyncpg.connect(postgres.url(name))
        await connection.execute(f"SELECT pg_advisory_lock({migration._LOCK})")
        await connection.execute("BEGIN; LOCK TABLE users, data_keys, sealed_keys")
        started = time.monotonic()
        await asyncio.to_thread(migrate, postgres.url(name))
        assert time.monotonic() - started < 5
        await connection.close()


async def test_a_changed_column_is_no_defect(postgres: PostgresServer) -> None:
    """Proves that statements prepared before a migration are 503 once at most, not a 500 for each
    connection."""
    read = text("SELECT * FROM data_keys")
    with postgres.database() as name:
        engine = open_database(postgres.url(name), 4)

        async def ask() -> str:
            try:
                with store_errors():
                    async with engine.connect() as connection:
                        await connection.execute(read)
            except StoreUnavailable as error:
                return str(error)
            return ""

        held = [await engine.connect() for _ in range(4)]
        for connection in held:
            await connection.execute(read)
        for connection in held:
            await connection.close()
        postgres.ask("ALTER TABLE data_keys ALTER created_at TYPE numeric", name)
        told = [await ask() for _ in range(6)]
        assert told[1:] == [""] * 5
        assert "migrated" in told[0]
        await engine.dispose()


async def test_untold_seals_are_found_by_an_index(postgres: PostgresServer) -> None:
    """Proves that what key commands look for among all accounts is no scan of them."""
    with postgres.database() as name:
        connection = await asyncpg.connect(postgres.url(name))
        await connection.execute(
            "INSERT INTO users (id, email, email_key, password_hash, password_scheme, created_at)"
            " SELECT decode(lpad(to_hex(n), 32, '0'), 'hex'), '', n::text, '', 1, 0"
            " FROM generate_series(1, 20000) n; ANALYZE users"
        )
        engine = open_database(postgres.url(name))
        for statement in (second_factor_statements.WITHOUT_EPOCH, epochs.WITHOUT_EPOCH):
            sql = str(
                statement.compile(dialect=engine.dialect, compile_kwargs={"literal_binds": True})
            )
            plan = "\n".join(row[0] for row in await connection.fetch("EXPLAIN " + sql))
            assert "ix_users_untold" in plan
        await engine.dispose()
        await connection.close()
