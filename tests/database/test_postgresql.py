"""PostgreSQL: one schema whoever comes first, and no call that waits for a server that is gone."""

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine
from tools.testbed.postgresql import PostgresServer
from tools.testbed.waiting import eventually

from service.database import versions
from service.database.engine import open_database, ping, store_errors
from service.database.migration import migrate
from service.database.tables import metadata
from service.errors import StartupError, StoreUnavailable
from tests.database.migrating import migrate_and_die, migrate_at_once
from tests.support.run_queue import Stopwatch
from tests.support.user_stores import PATIENCE

ADD_KEY = text("INSERT INTO data_keys (epoch, wrapped, created_at) VALUES (:epoch, '', 0)")
LATEST = versions._known()[-1]
BOUND = 2.0
"""Seconds: the contract's."""

Outage = Callable[[PostgresServer], None]


@pytest.fixture
def empty(postgres: PostgresServer) -> Iterator[str]:
    """The name of a database without tables."""
    with postgres.database(migrated=False) as name:
        yield name


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    """A migrated database."""
    with postgres.database() as name:
        yield postgres.url(name)


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    engine = open_database(url)
    yield engine
    await engine.dispose()


@pytest.fixture(params=["stopped", "frozen"])
def outage(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[Outage]:
    """Connections refused, or accepted and never answered."""
    yield PostgresServer.stop if request.param == "stopped" else PostgresServer.freeze
    postgres.heal()


def tables(postgres: PostgresServer, name: str) -> set[object]:
    found = postgres.ask("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", name)
    return {table for (table,) in found}


def test_racing_processes_migrate_once(postgres: PostgresServer, empty: str) -> None:
    """Proves that six pods that start together on a new database all come up, on one schema."""
    assert migrate_at_once(postgres.url(empty), 6) == [("", 0)] * 6
    assert tables(postgres, empty) == {*metadata.tables, "alembic_version"}
    assert postgres.ask("SELECT version_num FROM openshow_schema", empty) == [(LATEST,)]


def test_killed_half_way_leaves_nothing_half(postgres: PostgresServer, empty: str) -> None:
    """Proves that a crash inside a version undoes the whole of it, and the next start succeeds."""
    assert migrate_and_die(postgres.url(empty)) == -9
    assert tables(postgres, empty) == set()
    migrate(postgres.url(empty))
    assert tables(postgres, empty) == {*metadata.tables, "alembic_version"}


def test_a_newer_database_stops_the_start(postgres: PostgresServer, empty: str) -> None:
    """Proves that an old program does not touch what a newer one has migrated."""
    migrate(postgres.url(empty))
    postgres.ask("UPDATE alembic_version SET version_num = '9999'", empty)
    with pytest.raises(StartupError, match="version 9999, newer than this program") as refused:
        migrate(postgres.url(empty))
    assert "\n" not in str(refused.value)


async def test_metadata_and_migrations_agree(url: str) -> None:
    """Proves that the tables the code speaks of are those made, names of constraints included."""
    engine = open_database(url, patience=PATIENCE)

    def look(connection: Connection) -> None:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
        made = connection.execute(text("SELECT conname FROM pg_constraint")).scalars().all()
        named = {str(c.name) for table in metadata.sorted_tables for c in table.constraints}
        assert named < set(made)

    async with engine.connect() as connection:
        await connection.run_sync(look)
    await engine.dispose()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("?host=/nowhere", "cannot be reached"),
        ("?sslmode=odd", "sslmode"),
        ("?colour=blue&host={directory}", "colour"),
    ],
)
def test_what_cannot_be_opened_stops_the_start(
    postgres: PostgresServer, options: str, says: str
) -> None:
    """Proves that it is one line for the operator, and no password in it."""
    options = options.format(directory=postgres.directory)
    with pytest.raises(StartupError, match=rf"^SERVICE_DATABASE_URL: .*{says}") as refused:
        migrate(f"postgresql://tests:hunter2@/postgres{options}")
    assert "\n" not in str(refused.value)
    assert "hunter2" not in str(refused.value)


async def test_options_of_the_url_are_used(postgres: PostgresServer, url: str) -> None:
    """Proves that the URL means what it means to libpq, and that nothing prints it."""
    engine = open_database(f"{url}&sslmode=prefer&password=hunter2&work_mem=1234kB")
    async with engine.connect() as connection:
        assert (await connection.execute(text("SHOW work_mem"))).scalar() == "1234kB"
        shown = [engine, engine.url, engine.pool, connection, connection.sync_connection]
        assert "hunter2" not in repr(shown) + " ".join(map(str, shown))
    await engine.dispose()


async def test_connections_are_prepared(engine: AsyncEngine) -> None:
    """Proves the settings on which durability and taking turns rest."""
    names = "synchronous_commit", "transaction_isolation", "statement_timeout"
    async with engine.connect() as connection:
        found = [(await connection.execute(text(f"SHOW {name}"))).scalar() for name in names]
    assert found == ["on", "read committed", "2s"]


async def test_an_outage_is_told_in_time(
    postgres: PostgresServer, engine: AsyncEngine, outage: Outage
) -> None:
    """Proves that many callers get their answer, again and again, and that it passes by itself."""

    async def taken() -> float:
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await ping(engine)
        return time.monotonic() - started

    await asyncio.gather(*(ping(engine) for _ in range(8)))
    await asyncio.to_thread(outage, postgres)
    assert await taken() < BOUND
    assert await taken() < BOUND, "the next connection is stale, and takes no leave"
    assert max(await asyncio.gather(*(taken() for _ in range(20)))) < BOUND
    await asyncio.to_thread(postgres.heal)
    await asyncio.gather(*(ping(engine) for _ in range(8)))


async def test_a_restart_is_not_noticed(postgres: PostgresServer, engine: AsyncEngine) -> None:
    """Proves that connections that the server has closed are replaced, not tried."""
    await asyncio.gather(*(ping(engine) for _ in range(8)))
    await asyncio.to_thread(postgres.stop)
    await asyncio.to_thread(postgres.start)
    await asyncio.gather(*(ping(engine) for _ in range(8)))


async def test_a_lock_that_lasts_is_unavailable(engine: AsyncEngine, url: str) -> None:
    """Proves that a write does not wait for another process without end."""
    other = await asyncpg.connect(url)
    holding = other.transaction()
    await holding.start()
    await other.execute("INSERT INTO data_keys (epoch, wrapped, created_at) VALUES (1, '', 0)")
    since = Stopwatch()
    with pytest.raises(StoreUnavailable), store_errors():
        async with engine.begin() as connection:
            await connection.execute(ADD_KEY, {"epoch": 1})
    assert since.own < BOUND
    await holding.rollback()
    await other.close()
    await ping(engine)


async def test_an_exhausted_pool_is_unavailable(url: str) -> None:
    """Proves that the pool is as large as it was told, and that nobody waits in it without end."""
    engine = open_database(url, 3)
    held = [await engine.connect() for _ in range(3)]
    with pytest.raises(StoreUnavailable):
        await ping(engine)
    for connection in held:
        await connection.close()
    await ping(engine)
    await engine.dispose()


async def test_a_demoted_primary_is_left(
    postgres: PostgresServer, engine: AsyncEngine, url: str
) -> None:
    """Proves that after a failover the first refused write ends all connections to the old one."""

    async def write(epoch: int) -> None:
        with store_errors():
            async with engine.begin() as connection:
                await connection.execute(ADD_KEY, {"epoch": epoch})

    held = [await engine.connect() for _ in range(3)]
    for connection in held:  # as those that were opened before a standby became a standby
        await connection.execute(text("SET default_transaction_read_only = on"))
        await connection.commit()
        await connection.close()
    with pytest.raises(StoreUnavailable):
        await write(1)
    await asyncio.gather(*(write(epoch) for epoch in range(2, 6)))


async def test_idle_connections_are_kept(engine: AsyncEngine) -> None:
    """Proves that a deadline ends with the use it was set for."""
    async with engine.connect() as connection:
        number = text("SELECT pg_backend_pid()")
        before = (await connection.execute(number)).scalar()
        raw = (await connection.get_raw_connection()).driver_connection
    assert raw is not None
    assert raw._deadline is None
    async with engine.connect() as connection:
        assert (await connection.execute(number)).scalar() == before


async def test_abandoned_calls_give_their_connection_back(
    postgres: PostgresServer, engine: AsyncEngine
) -> None:
    """Proves that callers who leave while the server is frozen do not use the pool up."""
    await ping(engine)
    await asyncio.to_thread(postgres.freeze)
    try:
        calls = [asyncio.create_task(ping(engine)) for _ in range(20)]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    finally:
        await asyncio.to_thread(postgres.resume)

    async def all_back() -> bool:
        return bool(engine.pool.checkedout() == 0)  # type: ignore[attr-defined]

    await eventually(all_back)
    await asyncio.gather(*(ping(engine) for _ in range(8)))


async def test_a_database_without_the_schema_is_unavailable(
    postgres: PostgresServer, empty: str
) -> None:
    """Proves that ready does not mean that some database could be opened."""
    engine = open_database(postgres.url(empty))
    with pytest.raises(StoreUnavailable):
        await ping(engine)
    await engine.dispose()


async def test_violated_constraints_are_not_an_outage(engine: AsyncEngine) -> None:
    """Proves that a duplicate key stays an IntegrityError, and that no traceback shows values."""
    secret = {"epoch": 424_242}
    async with engine.begin() as connection:
        await connection.execute(ADD_KEY, secret)
    with pytest.raises(IntegrityError) as refused, store_errors():
        async with engine.begin() as connection:
            await connection.execute(ADD_KEY, secret)
    told = "".join(traceback.format_exception(refused.value))
    assert "424242" not in told
