"""The store of the service's keys: sealed in the database, opened once at the start.

key service --wraps--> data keys --seal--> signing keys, MAC keys, peppers, digest key
                       (data_keys)         (sealed_keys)
"""

import re
import secrets
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Row, Table, insert, literal, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from service.clock import Clock, milliseconds
from service.daemon_thread import run_in_daemon_thread
from service.database.engine import store_errors
from service.database.tables import data_keys, sealed_keys, users
from service.errors import KeyRefused, StartupError
from service.keyring import signing
from service.keyring.envelope import DATA_KEY_SIZE, Keyring
from service.keyring.keys import ServiceKeys
from service.keyring.kms.provider import KeyProvider
from service.keyring.records import (
    EMAIL_DIGEST,
    PEPPER,
    REFRESH_MAC,
    SIGNING,
    DataKey,
    KeyLives,
    KeyRecords,
    SealedKey,
)
from service.keyring.unsealing import UnsealedKeys, bound_to, unseal_all, wrap_new

log = structlog.get_logger()

_ADVICE = "back it up: without it every password and second factor is lost; each pod needs the same"

_FIRST = 1  # the first epoch, and the first id of each use
LARGEST_ID = 255  # refresh tokens name their key by one byte
_ID = re.compile(r"[1-9][0-9]{0,8}")


def _secret() -> bytes:
    return secrets.token_bytes(32)


MINTS: dict[str, Callable[[], bytes]] = {
    SIGNING: lambda: signing.to_der(signing.mint()),
    REFRESH_MAC: _secret,
    PEPPER: _secret,
    EMAIL_DIGEST: _secret,
}
"""How a new key of each use is made. A new use needs a step that adds it to older databases."""


class KeyStore:
    """The tables `data_keys` and `sealed_keys`.

    A sealed key is bound to its use and id, a wrapped data key to its epoch. Both count up from 1;
    which key is in use is told by `active_from`.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def load(
        self, provider: KeyProvider, clock: Clock, lives: KeyLives | None = None
    ) -> ServiceKeys:
        """Open all keys; make them first if this database has none yet. Safe to race and to repeat.

        Raises `StartupError` when what is stored does not open or is not whole: keys are never
        made anew beside data that needs the old ones. Raises `StoreUnavailable` when the database
        or the key service cannot be reached.
        """
        return (await self.open(provider, clock)).at(clock(), lives or KeyLives())

    async def open(
        self,
        provider: KeyProvider,
        clock: Clock,
        known: UnsealedKeys | None = None,
        resting: Collection[int] = (),
        *,
        make: bool = True,
    ) -> UnsealedKeys:
        """Open all keys, those that are missing of a new database made first if `make` is set.

        `known` and `resting`: see `unseal_all`.
        """
        stored = await self.read()
        if not stored.data_keys:
            if not make:  # it may be in the middle of a restore: new ones would be in the way
                raise StartupError("the database has lost its data keys: restore it")
            wrapped, data_key = await self._create_first_keys(provider, clock())
            stored = await self.read()
            if stored.data_keys and stored.data_keys[0].wrapped == wrapped:  # ours, not another's
                known = UnsealedKeys(stored, {_FIRST: data_key})
        # In a thread, because a provider may block.
        keys = await run_in_daemon_thread(unseal_all, provider, stored, known, resting)
        if any(key.public is None for key in stored.sealed_keys[SIGNING]):
            await self._publish(keys)
        return keys

    async def read(self) -> KeyRecords:
        """Read both tables. Raises `StoreUnavailable`, and `StartupError` for an impossible id."""
        with store_errors():
            async with self._engine.connect() as connection:
                records = await self.read_on(connection)
                if records.data_keys and not any(records.sealed_keys.values()):
                    # The first keys were made between the two statements; or they are lost.
                    records = await self.read_on(connection)
                return records

    async def read_on(self, connection: AsyncConnection) -> KeyRecords:
        """Read both tables within a transaction of the caller's."""
        sealed: dict[str, list[SealedKey]] = {use: [] for use in MINTS}
        # Sealed keys first: the epoch of each is then among the data keys read next.
        for row in await connection.execute(select(sealed_keys)):
            if row.use in sealed:
                sealed[row.use].append(_sealed_key(row))
        rows = await connection.execute(select(data_keys).order_by(data_keys.c.epoch))
        wrapped = tuple(
            DataKey(row.epoch, row.wrapped, row.created_at, row.active_from) for row in rows
        )
        by_age = {
            use: tuple(sorted(keys, key=lambda key: (key.active_from, key.id)))
            for use, keys in sealed.items()
        }
        return KeyRecords(wrapped, by_age)

    async def _create_first_keys(self, provider: KeyProvider, now: datetime) -> tuple[bytes, bytes]:
        """Make the first data key and, sealed under it, one key for each use: all or nothing.

        Returns the data key, wrapped and in clear, whether or not another process was first.
        """
        data_key = secrets.token_bytes(DATA_KEY_SIZE)
        wrapped = await run_in_daemon_thread(wrap_new, provider, data_key, _FIRST)
        keyring = Keyring({_FIRST: data_key})
        rows = [
            sealed_row(keyring, use, _FIRST, mint(), milliseconds(now))
            for use, mint in MINTS.items()
        ]
        first = {"epoch": _FIRST, "wrapped": wrapped, "created_at": milliseconds(now)}
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    # Of processes that start at once, one gets past this line.
                    await connection.execute(insert(data_keys), first)
                    await _refuse_leftovers(connection)
                    await connection.execute(insert(sealed_keys), rows)
        except IntegrityError:
            return wrapped, data_key  # another process was first; its keys are read next
        log.warning("keys made", opened_with=str(provider), advice=_ADVICE)
        return wrapped, data_key

    async def _publish(self, keys: UnsealedKeys) -> None:
        """Write public keys in clear where databases of before version 0003 have none."""
        with store_errors():
            async with self._engine.begin() as connection:
                for key in keys.stored.sealed_keys[SIGNING]:
                    await connection.execute(
                        update(sealed_keys)
                        .where(
                            sealed_keys.c.use == SIGNING,
                            sealed_keys.c.id == str(key.id),
                            sealed_keys.c.public.is_(None),
                        )
                        .values(public=keys.public(key.id))
                    )


async def lock_keys(connection: AsyncConnection) -> None:
    """Wait until no other process changes keys; held until the transaction ends.

    It changes nothing, but it is a write, which locks: the rows on PostgreSQL, the file on SQLite.
    """
    await connection.execute(update(data_keys).values(created_at=data_keys.c.created_at))


async def require_epoch(connection: AsyncConnection, epoch: int) -> None:
    """Make sure, after `lock_keys`, that nothing is sealed under a data key retired meanwhile."""
    found = await connection.execute(select(data_keys.c.epoch).where(data_keys.c.epoch == epoch))
    if found.first() is None:
        raise KeyRefused(f"another process has just retired epoch {epoch}")


def sealed_row(
    keyring: Keyring, use: str, key_id: int, secret: bytes, now: int, active_from: int = 0
) -> dict[str, object]:
    """Make a row of `sealed_keys`. Times in ms since 1970."""
    public = None
    if use == SIGNING:
        public = signing.public_to_der(signing.from_der(secret).public_key())
    return {
        "use": use,
        "id": str(key_id),
        "sealed": keyring.seal(secret, purpose=use, bound_to=bound_to(key_id)),
        "public": public,
        "created_at": now,
        "active_from": active_from,
    }


def _sealed_key(row: Row[*tuple[Any, ...]]) -> SealedKey:
    return SealedKey(
        row.use,
        _number(row.use, row.id),
        row.sealed,
        row.public,
        row.created_at,
        row.active_from,
    )


async def _holds_rows(connection: AsyncConnection, table: Table) -> bool:
    found = await connection.execute(select(literal(1)).select_from(table).limit(1))
    return found.first() is not None


async def _refuse_leftovers(connection: AsyncConnection) -> None:
    """Refuse a database without data keys but with what they protect: it has lost them.

    New ones would make every password wrong and every sealed secret unreadable for good.
    """
    for table in (sealed_keys, users):
        if await _holds_rows(connection, table):
            raise StartupError(
                f"the database has lost its data keys but holds {table.name}:"
                " restore the tables data_keys and sealed_keys from the same backup"
            )


def _number(use: str, key_id: str) -> int:
    number = int(key_id) if _ID.fullmatch(key_id) else 0
    if number == 0 or (number > LARGEST_ID and use != SIGNING):
        raise StartupError(f"an id of a {use} key in the table sealed_keys is not a valid number")
    return number
