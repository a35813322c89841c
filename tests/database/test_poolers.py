"""Behind PgBouncer: session mode serves, the others are refused at the start."""

import asyncio
import re

import pytest
from sqlalchemy import text
from tools.testbed.postgresql import PostgresServer

from service.database.engine import open_database, ping
from service.database.migration import migrate
from service.errors import StartupError
from tests.support.pgbouncer import pgbouncer
from tests.support.user_stores import PATIENCE


async def test_session_mode_serves(postgres: PostgresServer) -> None:
    """Proves that the migration and all connections get through, with the settings on which
    durability and deadlines rest, and those of the URL."""
    with postgres.database(migrated=False) as name, pgbouncer(postgres, "session") as host:
        url = f"postgresql://tests@/{name}?host={host}&port=6432&work_mem=1234kB"
        await asyncio.to_thread(migrate, url)
        engine = open_database(url)
        await asyncio.gather(*(ping(engine) for _ in range(30)))
        names = "synchronous_commit", "statement_timeout", "work_mem", "application_name"
        async with engine.connect() as connection:
            found = [(await connection.execute(text(f"SHOW {name}"))).scalar() for name in names]
        assert found == ["on", "2s", "1234kB", "openshow-auth"]
        await engine.dispose()


@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_other_modes_stop_the_start(postgres: PostgresServer, mode: str) -> None:
    """Proves that a pooler under which most calls would fail is told in one line, at the start."""
    with postgres.database() as name, pgbouncer(postgres, mode) as host:
        url = f"postgresql://tests@/{name}?host={host}&port=6432"
        with pytest.raises(StartupError, match=re.escape("set its pool_mode to session")) as told:
            await asyncio.to_thread(migrate, url)
    assert "\n" not in str(told.value)


async def test_an_encoding_that_lacks_letters_stops_the_start(postgres: PostgresServer) -> None:
    """Proves that addresses of some people are not found to be refused when they sign up."""
    with postgres.database() as name:
        url = f"postgresql://tests@/latin_{name}?host={postgres.directory}"
        engine = open_database(postgres.url(name), patience=PATIENCE)
        async with engine.connect() as connection:
            raw = await connection.execution_options(isolation_level="AUTOCOMMIT")
            await raw.execute(
                text(
                    f"CREATE DATABASE latin_{name} TEMPLATE template0 ENCODING 'LATIN1'"
                    " LC_COLLATE 'C' LC_CTYPE 'C'"
                )
            )
            with pytest.raises(StartupError, match="is LATIN1, which cannot hold") as told:
                await asyncio.to_thread(migrate, url)
            await raw.execute(text(f"DROP DATABASE latin_{name}"))
        await engine.dispose()
    assert "\n" not in str(told.value)
