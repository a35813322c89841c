"""A database that cannot serve is said to be so, with the reason, and is no defect."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine
from tools.testbed.postgresql import PostgresServer

from service.database import outages
from service.database.engine import check_writable, open_database, store_errors
from service.database.migration import migrate
from service.errors import StoreUnavailable
from tests.support.run_queue import Stopwatch
from tests.support.user_stores import PATIENCE

RAISE = "DO $$BEGIN RAISE EXCEPTION 'a row of Ada''s' USING ERRCODE = '{}'; END$$"
STATES = [
    *("0A000", "25006", "25P03", "26000", "3D000", "40001", "40P01", "40003", "42501", "42703"),
    *("42P01", "53000", "53100", "53200", "53300", "53400", "54000", "55000", "55P03", "57000"),
    *("57014", "57P01", "57P03", "58000", "58030", "58P01", "F0000", "XX000", "XX001", "08006"),
    *("28P01", "P0001", "09000", "38000"),
]
WRITE = "INSERT INTO data_keys (epoch, wrapped, created_at) VALUES (1, '', 0)"


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    migrate(url)
    engine = open_database(url)
    yield engine
    await engine.dispose()


async def run(engine: AsyncEngine, *sql: str) -> None:
    with store_errors():
        async with engine.begin() as connection:
            for statement in sql or ("SELECT * FROM users",):
                await connection.execute(text(statement))


async def told(engine: AsyncEngine, *sql: str) -> str:
    """What `store_errors` makes of the failure of statements, in time."""
    since = Stopwatch()
    with pytest.raises(StoreUnavailable) as unavailable:
        await run(engine, *sql)
    assert since.own < 2
    return str(unavailable.value)


@pytest.mark.parametrize("state", STATES)
async def test_states_of_postgresql(postgres: PostgresServer, state: str) -> None:
    """Proves that each SQLSTATE which tells of the server's state is an outage with a reason, and
    that nothing of the server's words, which may quote a row, is in it."""
    with postgres.database() as name:
        engine = open_database(postgres.url(name), patience=PATIENCE)
        with pytest.raises(StoreUnavailable) as unavailable:
            await run(engine, RAISE.format(state))
        await engine.dispose()
    message = str(unavailable.value)
    assert message.startswith("the user store ")
    assert (outages._BY_STATE.get(state) or outages._BY_STATE[state[:2]]) in message
    assert "Ada" not in message


@pytest.mark.parametrize("state", ["42601", "23505", "23514"])
async def test_mistakes_of_ours_stay_what_they_are(postgres: PostgresServer, state: str) -> None:
    """Proves that a statement's own mistakes are not blamed on the server."""
    with postgres.database() as name:
        engine = open_database(postgres.url(name), patience=PATIENCE)
        with pytest.raises((ProgrammingError, IntegrityError)), store_errors():
            async with engine.begin() as connection:
                await connection.execute(text(RAISE.format(state)))
        await engine.dispose()


@pytest.mark.parametrize("statement", ["SELECT pg_sleep(9)", "LOCK TABLE users"])
async def test_a_server_that_takes_too_long(postgres: PostgresServer, statement: str) -> None:
    """Proves that a server which answers, but not in time, is not told as one that is away."""
    with postgres.database() as name:
        engine = open_database(postgres.url(name))
        patient = open_database(postgres.url(name), patience=PATIENCE)
        async with patient.begin() as other:
            await other.execute(text("LOCK TABLE users"))
            assert await told(engine, statement) == "the user store did not do a statement in time"
        await engine.dispose()
        await patient.dispose()


@pytest.mark.parametrize(
    "lost", ["ALTER TABLE users RENAME totp_sealed TO other", "DROP TABLE recovery_codes"]
)
async def test_a_part_that_is_missing(
    engine: AsyncEngine, postgres: PostgresServer, lost: str
) -> None:
    """Proves that readiness looks at all that calls need, not only at what it writes."""
    with postgres.database() as name:
        for each in (engine, open_database(postgres.url(name), patience=PATIENCE)):
            await check_writable(each)
            await run(each, lost)
            with pytest.raises(StoreUnavailable, match="is not set up"):
                await check_writable(each)
            await each.dispose()


async def test_too_many_connections(postgres: PostgresServer) -> None:
    """Proves that a refusal while connecting has its reason as well."""
    with postgres.database() as name:
        postgres.ask("DROP ROLE IF EXISTS crowded")
        postgres.ask("CREATE ROLE crowded LOGIN SUPERUSER")
        postgres.ask("ALTER ROLE crowded NOSUPERUSER CONNECTION LIMIT 0")
        engine = open_database(postgres.url(name).replace("tests@", "crowded@"))
        assert await told(engine) == "the user store has too many connections"
        await engine.dispose()
        postgres.ask("DROP ROLE crowded")


async def test_a_damaged_file(engine: AsyncEngine, file: Path) -> None:
    """Proves that "database disk image is malformed" is told as such."""
    await engine.dispose()
    damage(file)
    assert await told(engine) == "the user store is damaged: restore it from a backup"


def damage(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    damaged = bytearray(file.read_bytes())
    damaged[4096:] = os.urandom(len(damaged) - 4096)
    file.write_bytes(damaged)


async def test_a_file_that_takes_no_writes(engine: AsyncEngine) -> None:
    """Proves that "attempt to write a readonly database" is told as such."""
    said = await told(engine, "PRAGMA query_only = ON", WRITE)
    assert said == "the user store takes no writes: it is read-only"


async def test_a_full_disk(engine: AsyncEngine) -> None:
    """Proves that "database or disk is full" is told as such."""
    large = "INSERT INTO data_keys VALUES (1, zeroblob(1000000), 0, 0)"
    said = await told(engine, "PRAGMA max_page_count = 1", large)
    assert said == "the user store takes no writes: its disk is full"


async def test_a_pool_in_use(engine: AsyncEngine) -> None:
    """Proves that waiting in vain for a connection is not told as a database that is away."""
    held = [await engine.connect() for _ in range(4)]
    assert await told(engine) == "the user store has no connection to spare"
    for connection in held:
        await connection.close()


async def test_a_locked_file(engine: AsyncEngine, file: Path) -> None:
    """Proves that "database is locked" comes in time, also for those who queue behind it."""
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    said = await asyncio.gather(*(told(engine, WRITE) for _ in range(12)))
    other.close()
    assert "the user store is locked by somebody else for too long" in said
