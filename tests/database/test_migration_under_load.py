"""Migrating PostgreSQL while pods serve and others hold the tables: nobody is kept waiting."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from tools.testbed.postgresql import PostgresServer

from service.accounts import second_factor_statements
from service.database import migration
from service.database.engine import open_database, ping, store_errors
from service.database.migration import migrate
from service.errors import StartupError, StoreUnavailable
from service.keyring import data_key_rotation as epochs
from tests.database.migrating import migrate_to


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
    engine = open_database(behind)
    migrating = asyncio.create_task(asyncio.to_thread(migrate, behind))
    asyncio.get_running_loop().call_later(
        5, lambda: asyncio.ensure_future(reader.execute("ROLLBACK"))
    )
    assert await slowest_read(engine, migrating) < 3, "it has waited for the transaction as well"
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
