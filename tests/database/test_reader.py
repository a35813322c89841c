"""Reads past SQLAlchemy, on SQLite and on PostgreSQL: as current and as careful as others."""

import asyncio
import secrets
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import literal_column, select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool
from tools.testbed.postgresql import PostgresServer
from tools.testbed.waiting import eventually, wait_until

from service.database.engine import open_database, ping, store_errors
from service.database.migration import migrate
from service.database.reader import MOST_USERS, AccountState, Reader, open_reader
from service.database.tables import users
from service.errors import StoreUnavailable
from tests.support.user_stores import PATIENCE, SqliteStore, UserStore, postgres_store

EMAIL = select(users.c.id, users.c.email, users.c.two_fa_enabled)
FAILING = select(users.c.id, literal_column("1 / (length(id) - 16)").label("failing"))
MISSPELT = select(users.c.id, literal_column("nothing"))


@pytest.fixture
def reader(engine: AsyncEngine) -> Reader:
    return open_reader(engine)


def add(
    store: UserStore, *, second_factor: bool, disabled_at: int | None = None, sessions_from: int = 0
) -> bytes:
    user_id = secrets.token_bytes(16)
    store.ask(
        "INSERT INTO users (id, email, email_key, password_hash, password_scheme, two_fa_enabled,"
        " created_at, disabled_at, sessions_from) VALUES ($1, 'Ada', $2, '', 1, $3, 0, $4, $5)",
        *(user_id, user_id.hex(), second_factor, disabled_at, sessions_from),
    )
    return user_id


def _plain(rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in rows]


async def read(reader: Reader, *user_ids: bytes) -> dict[bytes, bool]:
    """Tell which of these users have a second factor."""
    with store_errors():
        states = await reader.states(user_ids)
    return {user_id: state.has_second_factor for user_id, state in states.items()}


@pytest.mark.parametrize("count", [1, 2, 3, 5, 64, MOST_USERS - 1, MOST_USERS])
async def test_each_user_gets_their_own_answer(
    user_store: UserStore, reader: Reader, count: int
) -> None:
    """Those who are there with what they have, the others not, however many are asked for."""
    there = {add(user_store, second_factor=number == 1): number == 1 for number in range(3)}
    others = [secrets.token_bytes(16) for _ in range(count)]
    mixed = [*there, *others][:count]
    expected = {user_id: there[user_id] for user_id in mixed if user_id in there}
    assert await read(reader, *mixed) == expected
    assert await read(reader, *reversed(mixed)) == expected
    assert await read(reader, *others) == {}
    assert await read(reader) == {}


async def test_each_state_is_its_own(user_store: UserStore, reader: Reader) -> None:
    """Proves that the second factor, a disabled account and the version are not mixed up."""
    expected = {
        add(user_store, second_factor=factor, disabled_at=at, sessions_from=version): AccountState(
            factor, at is not None, version
        )
        for factor in (False, True)
        for at in (None, 0, 1_790_000_000_000)
        for version in (0, 1, 2**53 - 1)
    }
    with store_errors():
        assert await reader.states(list(expected)) == expected


async def test_what_another_has_committed_is_read(user_store: UserStore, reader: Reader) -> None:
    """At once: nothing is answered by what was read before."""
    user_id = add(user_store, second_factor=False)
    emails = reader.rows(EMAIL)
    for _ in range(2):
        assert await read(reader, user_id) == {user_id: False}
        assert _plain(await emails([user_id])) == [(user_id, "Ada", False)]
    user_store.ask("UPDATE users SET two_fa_enabled = $1, email = 'Eve'", True)
    assert await read(reader, user_id) == {user_id: True}
    assert _plain(await emails([user_id])) == [(user_id, "Eve", True)]
    user_store.ask("DELETE FROM users")
    assert await read(reader, user_id) == {}
    assert _plain(await emails([user_id])) == []


async def test_many_reads_at_once(user_store: UserStore, engine: AsyncEngine) -> None:
    """They share the first connection, and each gets its own answer."""
    reader = open_reader(engine)
    user_ids = [add(user_store, second_factor=number % 2 == 0) for number in range(20)]
    answers = await asyncio.gather(*(read(reader, user_id) for user_id in user_ids))
    assert answers == [{user_id: number % 2 == 0} for number, user_id in enumerate(user_ids)]


async def test_an_outage_is_told_and_passes(user_store: UserStore, reader: Reader) -> None:
    """Proves that a connection that failed, or whose file is gone, is not used again."""
    user_id = add(user_store, second_factor=False)
    assert await read(reader, user_id) == {user_id: False}
    with user_store.out_of_reach(), pytest.raises(StoreUnavailable):
        await read(reader, user_id)
    assert await read(reader, user_id) == {user_id: False}
    user_store.ask("ALTER TABLE users RENAME TO elsewhere")
    with pytest.raises(StoreUnavailable):
        await read(reader, user_id)
    user_store.ask("ALTER TABLE elsewhere RENAME TO users")
    assert await read(reader, user_id) == {user_id: False}


async def test_a_restored_file_is_read_at_once(tmp_path: Path) -> None:
    """Proves that a user whom the restored file does not have is not found in the old one."""
    store = SqliteStore(tmp_path)
    engine = open_database(store.url)
    reader = open_reader(engine)
    user_id = add(store, second_factor=False)
    assert await read(reader, user_id) == {user_id: False}
    store.lose()
    migrate(store.url)
    assert await read(reader, user_id) == {}
    await engine.dispose()


async def test_a_read_that_is_cancelled(postgres: PostgresServer) -> None:
    """The one connection there is goes back, whatever it was waiting for, and gives nobody the
    answer of the read before; whoever waits for it is not kept."""
    with postgres_store(postgres) as store:
        there = {add(store, second_factor=number == 1): number == 1 for number in range(2)}
        one, other = there
        engine = open_database(store.url, connections=1, patience=PATIENCE)
        reader = open_reader(engine)
        locks = await asyncpg.connect(store.url)
        assert await read(reader, one) == {one: False}
        async with locks.transaction():
            await locks.execute("LOCK TABLE users")
            reads = asyncio.create_task(read(reader, one))
            waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'relation'"

            async def is_waiting() -> bool:
                return bool(await locks.fetch(waits))

            await eventually(is_waiting)
            waiting = asyncio.create_task(read(reader, one))  # for a connection
            await asyncio.sleep(0)
            for task in (waiting, reads):
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert pool_of(engine).checkedout() == 0
        assert await read(reader, other) == {other: True}
        for turns in range(60):  # of the event loop, until it is cancelled
            task = asyncio.create_task(read(reader, one))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                assert await task == {one: False}
            assert pool_of(engine).checkedout() == 0
            assert await read(reader, other) == {other: True}
        await engine.dispose()
        await eventually(lambda: others_than(locks))
        await locks.close()


async def test_a_cancelled_read_of_a_server_that_hangs(postgres: PostgresServer) -> None:
    """Nobody waits for it: the driver's own way would ask the server to cancel."""
    with postgres_store(postgres) as store:
        user_id = add(store, second_factor=True)
        engine = open_database(store.url, connections=1, patience=PATIENCE)
        reader = open_reader(engine)
        assert await read(reader, user_id) == {user_id: True}
        postgres.freeze()
        try:
            task = asyncio.create_task(read(reader, user_id))
            await asyncio.sleep(0.2)  # it is sent within that; if not, the test proves less
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=PATIENCE.total_seconds() / 2)
            assert done
            assert pool_of(engine).checkedout() == 0
        finally:
            postgres.resume()
        assert await read(reader, user_id) == {user_id: True}
        await engine.dispose()


async def test_a_close_after_an_error(postgres: PostgresServer) -> None:
    """An error in the statement costs no connection, a lost one is replaced, and none is left."""
    with postgres_store(postgres) as store:
        user_id = add(store, second_factor=True)
        engine = open_database(store.url, connections=1, patience=PATIENCE)
        reader = open_reader(engine)
        looks = await asyncpg.connect(store.url)
        for _ in range(3):
            with pytest.raises(StoreUnavailable), store_errors():
                await reader.rows(FAILING)([user_id])
            assert await read(reader, user_id) == {user_id: True}
        assert len(await looks.fetch(_OTHERS)) == 1
        await looks.execute("SELECT pg_terminate_backend(pid) FROM (" + _OTHERS + ") AS others")
        await eventually(lambda: others_than(looks))
        with suppress(StoreUnavailable):  # as in the next test, where the end has not come yet
            await read(reader, user_id)
        assert await read(reader, user_id) == {user_id: True}
        with pytest.raises(StoreUnavailable), store_errors():
            await reader.rows(FAILING)([user_id])
        await engine.dispose()
        await eventually(lambda: others_than(looks))
        await looks.close()


GOODBYE = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0"


@pytest.mark.parametrize("past_sqlalchemy", [True, False])
async def test_a_goodbye_before_the_end(postgres: PostgresServer, past_sqlalchemy: bool) -> None:
    """A server that stops says so on idle connections, and hangs up a moment later: between the two
    a call is told that the store is away, and the next one has another connection."""
    with postgres_store(postgres) as store:
        user_id = add(store, second_factor=True)
        engine = open_database(store.url, connections=1, patience=PATIENCE)
        reader = open_reader(engine)
        async with engine.connect() as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
        raw._protocol.data_received(b"E" + (len(GOODBYE) + 4).to_bytes(4) + GOODBYE)
        with pytest.raises(StoreUnavailable):
            await (read(reader, user_id) if past_sqlalchemy else ping(engine))
        assert await read(reader, user_id) == {user_id: True}
        await ping(engine)
        assert raw.is_closed()
        await engine.dispose()


_OTHERS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


async def others_than(connection: asyncpg.Connection) -> bool:
    """Whether it is the only one to its database."""
    return not await connection.fetch(_OTHERS)


def pool_of(engine: AsyncEngine) -> QueuePool:
    assert isinstance(engine.pool, QueuePool)
    return engine.pool


async def test_a_read_of_a_file_that_is_cancelled(tmp_path: Path) -> None:
    """The same for SQLite, and after an error: the thread that reads goes on, or is replaced."""
    store = SqliteStore(tmp_path)
    engine = open_database(store.url)
    reader = open_reader(engine)
    there = {add(store, second_factor=number == 1): number == 1 for number in range(2)}
    one, other = there
    for turns in range(40):
        task = asyncio.create_task(read(reader, one))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            assert await task == {one: False}
        assert await read(reader, other) == {other: True}
        if turns % 10 == 0:
            with pytest.raises(StoreUnavailable), store_errors():
                await reader.rows(MISSPELT)([one])
    await engine.dispose()


def test_the_loop_may_end_with_the_engine(tmp_path: Path) -> None:
    """Once the engine is disposed of, no thread tells a loop that is closed, as a command's is."""
    store, tracebacks = SqliteStore(tmp_path), []

    async def read_once() -> None:
        engine = store.open()
        await read(open_reader(engine), secrets.token_bytes(16))
        await engine.dispose()

    before, threading.excepthook = threading.excepthook, tracebacks.append
    try:
        for _ in range(20):
            asyncio.run(read_once())
        wait_until(lambda: not any("worker_thread" in t.name for t in threading.enumerate()))
    finally:
        threading.excepthook = before
    assert tracebacks == []
