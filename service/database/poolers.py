"""Poolers before PostgreSQL: which of them this service can work behind.

A pooler in session mode gives each client a server session of its own. In transaction or
statement mode it does not: prepared statements, settings and deadlines would be another client's.
And databases whose encoding cannot hold every address: those of some people would be refused.
"""

import asyncio
from contextlib import suppress

import asyncpg

from service.database import libpq
from service.database.postgresql import connect_to
from service.errors import StartupError

_PATIENCE = 2.0
"""Seconds for a second session. A pool of one session in session mode never gives it."""

_TRIES = 3  # somebody else may have taken the session that was put back

_REFUSAL = (
    "SERVICE_DATABASE_URL: behind it is a pooler in transaction or statement mode, in which"
    " prepared statements and settings of the session do not last: set its pool_mode to session"
)


async def refuse_shared_sessions(url: str) -> None:
    """Make sure that two connections are two sessions of the server, and that it stores all texts.

    Raises:
        StartupError: they are not, or it does not.
        OSError, asyncpg.PostgresError: the server cannot be reached or refuses.
    """
    parameters = libpq.read(url)
    first = await connect_to(parameters, 30.0, statement_cache_size=0)
    try:
        _refuse_encoding(first.get_settings().server_encoding)
        pid = await _session(first)
        if pid == first.get_server_pid():
            return  # no pooler: the one who answers is the one who was connected to
        with suppress(TimeoutError):
            second = await connect_to(parameters, _PATIENCE, statement_cache_size=0)
            try:
                await _compare(first, second)
            finally:
                await _leave(second)
    finally:
        await _leave(first)


def _refuse_encoding(encoding: str) -> None:
    if encoding not in ("UTF8", "SQL_ASCII"):  # the latter keeps bytes as they come
        raise StartupError(
            f"SERVICE_DATABASE_URL: the encoding of the database is {encoding}, which cannot hold"
            " every e-mail address: make one with ENCODING 'UTF8', and move a dump of this there"
        )


async def _compare(first: asyncpg.Connection, second: asyncpg.Connection) -> None:
    for _ in range(_TRIES):
        pid = await _session(first)
        # The pooler has it back between two transactions, if it takes it back.
        async with asyncio.timeout(_PATIENCE):
            if await _session(second) == pid:
                raise StartupError(_REFUSAL)


async def _leave(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=_PATIENCE)
    except (TimeoutError, OSError, asyncpg.PostgresError):
        connection.terminate()


async def _session(connection: asyncpg.Connection) -> int:
    try:
        async with connection.transaction():
            pid: int = await connection.fetchval("SELECT pg_backend_pid()")
            return pid
    except asyncpg.PostgresError as error:
        if "statement pooling" in str(error):
            raise StartupError(_REFUSAL) from None
        raise
