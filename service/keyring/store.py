"""Where the service's keys live: sealed in the database, opened once at the start.

KMS provider --wraps--> data keys --seal--> signing keys, MAC keys, peppers, digest key
                        (data_keys)         (sealed_keys)
"""

import asyncio
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from sqlalchemy import Table, insert, literal, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from service.clock import Clock, milliseconds
from service.database.engine import store_errors
from service.database.tables import data_keys, sealed_keys, users
from service.errors import SealBroken, StartupError
from service.keyring import signing
from service.keyring.envelope import DATA_KEY_SIZE, Keyring
from service.keyring.provider import KeyProvider
from service.keyring.signing import SigningKeys

log = structlog.get_logger()

_ADVICE = "back it up: without it every password and second factor is lost; each pod needs the same"

_FIRST = 1  # the first epoch, and the first id of each use
_LARGEST_ID = 255  # refresh tokens name their key by one byte
_ID = re.compile(r"[1-9][0-9]{0,8}")

_SIGNING, _REFRESH_MAC, _PEPPER, _EMAIL_DIGEST = "signing", "refresh-mac", "pepper", "email-digest"


def _secret() -> bytes:
    return secrets.token_bytes(32)


_MINTS: dict[str, Callable[[], bytes]] = {
    _SIGNING: lambda: signing.to_der(signing.mint()),
    _REFRESH_MAC: _secret,
    _PEPPER: _secret,
    _EMAIL_DIGEST: _secret,
}


@dataclass(frozen=True, slots=True, eq=False)
class ServiceKeys:
    """Every key that the service needs while it runs; `repr` shows none of them.

    Keys that others name by number come as `{id: 32 bytes}`, ids 1 to 255, with the id of the one
    to use for what is new.
    """

    keyring: Keyring
    signing: SigningKeys
    refresh_mac_keys: dict[int, bytes] = field(repr=False)
    refresh_mac_current: int
    peppers: dict[int, bytes] = field(repr=False)
    pepper_current: int
    email_digest_key: bytes = field(repr=False)


class KeyStore:
    """The tables `data_keys` and `sealed_keys`. Read at the start and at rotation only.

    A sealed key is bound to its use and id, a wrapped data key to its epoch. Ids count up from 1
    within a use; the highest is the newest.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def load(self, provider: KeyProvider, clock: Clock) -> ServiceKeys:
        """All keys, opened; made first if this database has none yet. Safe to race and to repeat.

        Raises `StartupError` when what is stored does not open or is not whole: keys are never
        made anew beside data that needs the old ones. Raises `StoreUnavailable` when the database
        or the key service cannot be reached.
        """
        if not await self._founded():
            await self._found(provider, clock)
        wrapped, sealed = await self._read()
        # In a thread, because a provider may block.
        return await asyncio.to_thread(_open_all, provider, wrapped, sealed)

    async def _founded(self) -> bool:
        with store_errors():
            async with self._engine.connect() as connection:
                return await _holds_rows(connection, data_keys)

    async def _found(self, provider: KeyProvider, clock: Clock) -> None:
        """Makes the first data key and, sealed under it, one key for each use: all or nothing."""
        now = milliseconds(clock())
        data_key = secrets.token_bytes(DATA_KEY_SIZE)
        wrapped = await asyncio.to_thread(provider.wrap, data_key, _wrap_aad(_FIRST))
        keyring = Keyring({_FIRST: data_key})
        rows = [
            {
                "use": use,
                "id": str(_FIRST),
                "sealed": keyring.seal(mint(), purpose=use, bound_to=_bound_to(_FIRST)),
                "created_at": now,
            }
            for use, mint in _MINTS.items()
        ]
        first = {"epoch": _FIRST, "wrapped": wrapped, "created_at": now}
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    # The gate: of processes that start at once, one gets past this line.
                    await connection.execute(insert(data_keys), first)
                    await _refuse_leftovers(connection)
                    await connection.execute(insert(sealed_keys), rows)
        except IntegrityError:
            return  # another process was first; its keys are read next
        log.warning("keys made", opened_with=str(provider), advice=_ADVICE)

    async def _read(self) -> tuple[dict[int, bytes], dict[str, dict[str, bytes]]]:
        """Wrapped data keys by epoch; sealed keys by use and id."""
        sealed: dict[str, dict[str, bytes]] = {use: {} for use in _MINTS}
        with store_errors():
            async with self._engine.connect() as connection:
                # Sealed keys first: the epoch of each is then among the data keys read next.
                for row in await connection.execute(select(sealed_keys)):
                    if row.use in sealed:
                        sealed[row.use][row.id] = row.sealed
                rows = await connection.execute(select(data_keys))
                wrapped = {row.epoch: row.wrapped for row in rows}
        return wrapped, sealed


async def _holds_rows(connection: AsyncConnection, table: Table) -> bool:
    found = await connection.execute(select(literal(1)).select_from(table).limit(1))
    return found.first() is not None


async def _refuse_leftovers(connection: AsyncConnection) -> None:
    """A database without data keys but with what they protect has lost them; new ones would make
    every password wrong and every sealed secret unreadable for good."""
    for table in (sealed_keys, users):
        if await _holds_rows(connection, table):
            raise StartupError(
                f"the database has lost its data keys but holds {table.name}:"
                " restore the tables data_keys and sealed_keys from the same backup"
            )


def _open_all(
    provider: KeyProvider,
    wrapped: dict[int, bytes],
    sealed: dict[str, dict[str, bytes]],
) -> ServiceKeys:
    keyring = Keyring({epoch: _unwrap(provider, epoch, blob) for epoch, blob in wrapped.items()})
    keys = {use: _open_use(keyring, use, rows) for use, rows in sealed.items()}
    return ServiceKeys(
        keyring=keyring,
        signing=SigningKeys(signing.from_der(der) for der in keys[_SIGNING].values()),
        refresh_mac_keys=keys[_REFRESH_MAC],
        refresh_mac_current=max(keys[_REFRESH_MAC]),
        peppers=keys[_PEPPER],
        pepper_current=max(keys[_PEPPER]),
        email_digest_key=keys[_EMAIL_DIGEST][max(keys[_EMAIL_DIGEST])],
    )


def _unwrap(provider: KeyProvider, epoch: int, wrapped: bytes) -> bytes:
    try:
        return provider.unwrap(wrapped, _wrap_aad(epoch))
    except SealBroken:
        raise StartupError(
            f"{provider} does not open the data keys of this database (epoch {epoch}): put back the"
            " one that was used with it, or name it in SERVICE_KMS_LOCAL_KEY_FILE"
        ) from None


def _open_use(keyring: Keyring, use: str, rows: dict[str, bytes]) -> dict[int, bytes]:
    """The keys of one use by id, oldest first."""
    if not rows:
        raise StartupError(f"the database has lost its {use} key: restore the table sealed_keys")
    keys: dict[int, bytes] = {}
    for key_id in sorted(_number(use, key_id) for key_id in rows):
        try:
            keys[key_id] = keyring.open(rows[str(key_id)], purpose=use, bound_to=_bound_to(key_id))
        except SealBroken:
            raise StartupError(
                f"the {use} key {key_id} in the table sealed_keys does not open: restore it"
            ) from None
    return keys


def _number(use: str, key_id: str) -> int:
    number = int(key_id) if _ID.fullmatch(key_id) else 0
    if number == 0 or (number > _LARGEST_ID and use != _SIGNING):
        raise StartupError(f"an id of a {use} key in the table sealed_keys is not a valid number")
    return number


def _wrap_aad(epoch: int) -> bytes:
    # Readable, because some key services write it to their audit log.
    return f"openshow-auth data key, epoch {epoch}".encode()


def _bound_to(key_id: int) -> bytes:
    return str(key_id).encode()
