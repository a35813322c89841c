"""The table of API keys. Every call is one statement; all may raise `StoreUnavailable`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from service.api_keys.keys import SCOPES, ApiKey
from service.clock import milliseconds, moment
from service.database.engine import store_errors
from service.database.tables import api_keys

_ADD = insert(api_keys)
_ALL = select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)
_FIND = select(api_keys).where(api_keys.c.id == bindparam("key_id"))
_REVOKE = (
    update(api_keys)
    .where(api_keys.c.id == bindparam("key_id"), api_keys.c.revoked_at.is_(None))
    .values(revoked_at=bindparam("now"))
)
_NOTE_USE = (
    update(api_keys)
    .where(api_keys.c.id == bindparam("key_id"))
    .values(last_used_at=bindparam("now"))
)


class StoredKey(msgspec.Struct, frozen=True):
    """A key, and the digest of its text."""

    key: ApiKey
    digest: bytes


class ApiKeyStore:
    """Reads and writes the keys in the database behind `engine`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, key: ApiKey, digest: bytes) -> None:
        """Store a new key."""
        row = {
            "id": key.id,
            "name": key.name,
            "digest": digest,
            "scopes": " ".join(key.scopes),
            "created_at": milliseconds(key.created_at),
            "expires_at": None if key.expires_at is None else milliseconds(key.expires_at),
        }
        with store_errors():
            async with self._engine.begin() as connection:
                await connection.execute(_ADD, row)

    async def find(self, key_id: bytes) -> StoredKey | None:
        """Read the key with this id."""
        with store_errors():
            async with self._engine.connect() as connection:
                row = (await connection.execute(_FIND, {"key_id": key_id})).first()
        return None if row is None else StoredKey(_key_of(row), row.digest)

    async def all(self) -> Sequence[ApiKey]:
        """Read all keys, the oldest first, those that are of no use any more as well."""
        with store_errors():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(_ALL)).all()
        return [_key_of(row) for row in rows]

    async def revoke(self, key_id: bytes, now: datetime) -> None:
        """Revoke a key, unless it is."""
        await self._change(_REVOKE, key_id, now)

    async def note_use(self, key_id: bytes, now: datetime) -> None:
        """Note that a key was used just now."""
        await self._change(_NOTE_USE, key_id, now)

    async def _change(self, statement: Any, key_id: bytes, now: datetime) -> None:
        with store_errors():
            async with self._engine.begin() as connection:
                await connection.execute(statement, {"key_id": key_id, "now": milliseconds(now)})


def _key_of(row: Row[*tuple[Any, ...]]) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        scopes=tuple(scope for scope in SCOPES if scope in row.scopes.split()),
        created_at=moment(row.created_at),
        expires_at=_moment(row.expires_at),
        revoked_at=_moment(row.revoked_at),
        last_used_at=_moment(row.last_used_at),
    )


def _moment(at: int | None) -> datetime | None:
    return None if at is None else moment(at)
