"""Small reads that many calls make, past SQLAlchemy, which is most of what such a read costs.

A read is one statement outside any transaction. To PostgreSQL it goes on a connection of the pool,
with the deadline and the checks that all have. To SQLite it goes on a connection, and so a thread,
of its own: each turn of a thread costs more than the read, so all of it is done in one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

import aiosqlite
import msgspec
from sqlalchemy import Select, event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only

from service.database.file_identity import FileIdentity, identity_of

MOST_USERS = 256
"""Users in one read at most: databases limit how many parameters a statement has."""


class AccountState(msgspec.Struct, frozen=True):
    """What a row says of its user's sessions.

    `sessions_from`: the version of the row from which on sessions count.
    """

    has_second_factor: bool
    is_disabled: bool
    sessions_from: int


_decode = msgspec.json.Decoder(list[list[Any]]).decode

_ENDING = 1.0
"""Seconds that the end of the thread of a connection to SQLite is waited for."""


Rows = Callable[[Sequence[bytes]], Awaitable[Sequence[tuple[Any, ...]]]]
"""Reads the rows of `MOST_USERS` users at the most, by their ids, in any order. Booleans may be
integers."""


class Reader(Protocol):
    """Reads from the database behind an engine, and is closed with it.

    Any method may raise what `store_errors` makes `StoreUnavailable` of, as may what it returns.
    """

    def rows(self, columns: Select[Any]) -> Rows:
        """Make what reads these columns of `users`, the first of which is the id."""

    async def store(self) -> object:
        """Say which store answers: it is another than before once it was restored or replaced."""

    async def states(self, user_ids: Sequence[bytes]) -> Mapping[bytes, AccountState]:
        """Read the states of accounts, by user id; of those who are not there it has none.

        `MOST_USERS` at the most.
        """


def open_reader(engine: AsyncEngine) -> Reader:
    """Make a reader of the database behind `engine`, which opens nothing before the first read."""
    return (_SqliteReader if engine.dialect.name == "sqlite" else _PostgresReader)(engine)


class _PostgresReader:
    _THESE = " WHERE users.id = ANY($1::bytea[])"
    _STATES = (
        "SELECT id, two_fa_enabled, disabled_at IS NOT NULL, sessions_from FROM users"
        " WHERE id = ANY($1::bytea[])"
    )
    # Of the server, of the table, and of its file, which a dump makes anew, or `TRUNCATE`.
    _STORE = (
        "SELECT pg_postmaster_start_time(), 'users'::regclass::oid, pg_relation_filenode('users')"
    )

    def __init__(self, engine: AsyncEngine) -> None:
        from asyncpg import InternalClientError  # loaded with the engine, and not for SQLite

        self._engine = engine
        self._given_up = asyncio.CancelledError, InternalClientError

    def rows(self, columns: Select[Any]) -> Rows:
        text = str(columns.compile(dialect=self._engine.dialect)) + self._THESE

        async def read(user_ids: Sequence[bytes]) -> Sequence[tuple[Any, ...]]:
            found: Sequence[tuple[Any, ...]] = await self._fetch(text, user_ids)
            return found

        return read

    async def states(self, user_ids: Sequence[bytes]) -> Mapping[bytes, AccountState]:
        rows = await self._fetch(self._STATES, user_ids)
        return {user_id: AccountState(*state) for user_id, *state in rows}

    async def store(self) -> object:
        [row] = await self._fetch(self._STORE)
        return tuple(row)

    async def _fetch(self, text: str, *values: Any) -> Any:
        async with self._engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None  # noqa: S101  None once it is given back, and it is not
            try:
                return await raw.fetch(text, *values)  # the driver prepares it once a connection
            except self._given_up:
                raw.terminate()  # as SQLAlchemy does: whoever has it next must not wait for this
                raise


async def _stopped(connection: aiosqlite.Connection) -> None:
    with suppress(TimeoutError):  # what it still does may hang
        async with asyncio.timeout(_ENDING):
            if (stopped := connection.stop()) is not None:
                await stopped


def _sizes(text: str) -> dict[int, str]:
    """Spell a statement about some users for powers of two of them: few statements are prepared,
    and each is used often."""
    powers = (1 << power for power in range(MOST_USERS.bit_length()))
    return {size: text + f" WHERE users.id IN ({','.join('?' * size)})" for size in powers}


def _padded(user_ids: Sequence[bytes]) -> Sequence[bytes]:
    size = 1 << (len(user_ids) - 1).bit_length()
    return [*user_ids, *[user_ids[-1]] * (size - len(user_ids))]


class _SqliteReader:
    """Reads one row for all users: the thread releases the GIL for each row that it fetches."""

    _STATES = _sizes(
        "SELECT group_concat((two_fa_enabled != 0) || (disabled_at IS NOT NULL) || hex(id) || '/'"
        " || sessions_from, ',') FROM users"
    )

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._file = Path(unquote((engine.url.database or "").removeprefix("file:")))
        self._connection: aiosqlite.Connection | None = None
        self._identity: FileIdentity | None = None
        self._opening = asyncio.Lock()
        event.listen(engine.sync_engine, "engine_disposed", self._dispose)

    def rows(self, columns: Select[Any]) -> Rows:
        user_id, *others = columns.selected_columns.keys()
        fields = ", ".join((f"hex({user_id})", *others))
        texts = {
            size: f"SELECT json_group_array(json_array({fields})) FROM ({text})"  # noqa: S608  of our columns
            for size, text in _sizes(str(columns.compile(dialect=self._engine.dialect))).items()
        }

        async def read(user_ids: Sequence[bytes]) -> Sequence[tuple[Any, ...]]:
            if not user_ids:
                return []
            padded = _padded(user_ids)
            [[found]] = await self._fetch(texts[len(padded)], padded)
            return [(bytes.fromhex(user_id), *row) for user_id, *row in _decode(found)]

        return read

    async def store(self) -> object:
        return identity_of(self._file)

    async def states(self, user_ids: Sequence[bytes]) -> Mapping[bytes, AccountState]:
        if not user_ids:
            return {}
        padded = _padded(user_ids)
        [[found]] = await self._fetch(self._STATES[len(padded)], padded)
        states = {}
        for told in found.split(",") if found else ():
            user_id, _, sessions_from = told[2:].partition("/")
            states[bytes.fromhex(user_id)] = AccountState(
                told[0] == "1", told[1] == "1", int(sessions_from)
            )
        return states

    async def _fetch(self, text: str, values: Sequence[bytes]) -> Any:
        # As for connections of the pool: a file that was replaced must not be read on.
        connection = self._connection
        if connection is None or self._identity != identity_of(self._file):
            connection = await self._open()
        try:
            return await connection.execute_fetchall(text, values)
        except Exception:  # whatever it was, the next read begins with a new connection
            self._close()
            raise

    async def _open(self) -> aiosqlite.Connection:
        async with self._opening:
            identity = identity_of(self._file)
            if self._connection is not None and self._identity == identity:
                return self._connection  # another has opened it meanwhile
            self._close()
            lent = await self._engine.raw_connection()
            opened: aiosqlite.Connection = lent.driver_connection  # type: ignore[assignment]  # of SQLite
            lent.detach()  # it is this reader's from now on, and the pool may open another
            self._connection, self._identity = opened, identity
            return opened

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.stop()
            self._connection = None

    def _dispose(self, _: object) -> None:
        """Close with the engine. Its thread tells the event loop, which must not end before."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await_only(_stopped(connection))
