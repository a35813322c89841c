"""Rotation of data keys: epochs begin, records move to the newest, and old ones end.

A new data key is published first and seals later, when every process has had time to read it; so
none ever meets a blob that it cannot open. All changes take turns, each is one transaction.
"""

import secrets
from datetime import timedelta

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from service.clock import Clock, milliseconds
from service.daemon_thread import run_in_daemon_thread
from service.database.engine import store_errors
from service.database.tables import data_keys, sealed_keys, users
from service.errors import KeyRefused, KeyServiceRefused
from service.keyring.envelope import DATA_KEY_SIZE, LARGEST_EPOCH, Keyring, epoch_of
from service.keyring.kms.provider import KeyProvider
from service.keyring.records import KeyRecords
from service.keyring.store import KeyStore, lock_keys, require_epoch
from service.keyring.unsealing import UnsealedKeys, bound_to, wrap_new

DELAY = timedelta(seconds=10)
"""The time from publishing a data key to its use: five polls. Clocks may differ by half."""


WITHOUT_EPOCH = (
    select(users.c.id)
    .where(users.c.totp_sealed.is_not(None), users.c.totp_epoch.is_(None))
    .limit(1)
)


class DataKeyRotation:
    """Rotates the data keys of one database. All methods may raise `StoreUnavailable`."""

    def __init__(
        self,
        engine: AsyncEngine,
        provider: KeyProvider,
        clock: Clock,
        delay: timedelta = DELAY,
    ) -> None:
        self._engine = engine
        self._store = KeyStore(engine)
        self._provider = provider
        self._clock = clock
        self._delay = delay

    async def begin(self) -> int:
        """Begin an epoch, with a new data key that seals after a delay. Return its number.

        Raises:
            KeyServiceUnavailable
        """
        stored = await self._store.read()
        epoch = stored.data_keys[-1].epoch + 1
        if epoch > LARGEST_EPOCH:
            raise KeyRefused("there is no further epoch")
        data_key = secrets.token_bytes(DATA_KEY_SIZE)
        wrapped = await run_in_daemon_thread(wrap_new, self._provider, data_key, epoch)
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    await lock_keys(connection)
                    now = self._clock()  # by now: others may have held the lock for long
                    row = {
                        "epoch": epoch,
                        "wrapped": wrapped,
                        "created_at": milliseconds(now),
                        "active_from": milliseconds(now + self._delay),
                    }
                    await connection.execute(insert(data_keys), row)
        except IntegrityError:
            raise KeyRefused(f"another process has just begun epoch {epoch}") from None
        return epoch

    async def rewrap_data_keys(self, opened: UnsealedKeys) -> int:
        """Have the key service wrap every data key anew, with its newest key. Return how many.

        This is how data keys follow the top key, or move to another key service.
        """
        changed = 0
        for key in opened.stored.data_keys:
            data_key = opened.data_keys[key.epoch]
            # The old wrapping goes: the new one must have been seen to open.
            try:
                wrapped = await run_in_daemon_thread(wrap_new, self._provider, data_key, key.epoch)
            except KeyServiceRefused as error:
                raise KeyRefused(str(error)) from None
            with store_errors():
                async with self._engine.begin() as connection:
                    done = await connection.execute(
                        update(data_keys)
                        .where(data_keys.c.epoch == key.epoch, data_keys.c.wrapped == key.wrapped)
                        .values(wrapped=wrapped)
                    )
                    changed += done.rowcount
        return changed

    async def reseal_keys(self, opened: UnsealedKeys) -> int:
        """Seal the service's own keys under the current epoch. Return how many were not yet."""
        now = milliseconds(self._clock())
        current = opened.current_epoch(now)
        keyring = Keyring(opened.data_keys, current)
        changed = 0
        with store_errors():
            async with self._engine.begin() as connection:
                await lock_keys(connection)
                await require_epoch(connection, current)
                for use, keys in opened.stored.sealed_keys.items():
                    for key in keys:
                        if epoch_of(key.sealed) == current:
                            continue
                        bound = bound_to(key.id)
                        secret = keyring.open(key.sealed, purpose=use, bound_to=bound)
                        done = await connection.execute(
                            update(sealed_keys)
                            .where(
                                sealed_keys.c.use == use,
                                sealed_keys.c.id == str(key.id),
                                sealed_keys.c.sealed == key.sealed,
                            )
                            .values(sealed=keyring.seal(secret, purpose=use, bound_to=bound))
                        )
                        changed += done.rowcount
        return changed

    async def retire(self, epoch: int, settled_for: timedelta, *, opens: bool = True) -> None:
        """Delete a data key that nothing needs any more.

        `settled_for` is how long its successor must have been in use: as long as what was sealed
        under the old one may lie in Redis. The newest epoch may go while it does not seal yet, or
        if it never will, because the key service does not open it (`opens`).

        Raises:
            KeyRefused: something may need it. The message says what.
        """
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    await lock_keys(connection)
                    stored = await self._store.read_on(connection)
                    self._refuse_current(stored, epoch, settled_for, opens=opens)
                    _refuse_sealing(stored, epoch)
                    await _refuse_unknown(connection)
                    await connection.execute(delete(data_keys).where(data_keys.c.epoch == epoch))
        except IntegrityError:  # of users.totp_epoch
            raise KeyRefused(
                f"records are still sealed under epoch {epoch}:"
                " run `openshow-auth keys rewrap` first"
            ) from None

    def _refuse_current(
        self, stored: KeyRecords, epoch: int, settled_for: timedelta, *, opens: bool
    ) -> None:
        if epoch not in {key.epoch for key in stored.data_keys}:
            raise KeyRefused(f"there is no epoch {epoch}")
        now = self._clock()
        *older, newest = stored.data_keys
        unused = newest.active_from > milliseconds(now) or not opens
        if older and newest.epoch == epoch and unused:
            return
        newer = [
            key
            for key in stored.data_keys
            if key.epoch > epoch and key.active_from <= milliseconds(now)
        ]
        if not newer:
            raise KeyRefused(
                f"epoch {epoch} is in use: begin another with `openshow-auth keys rotate`"
            )
        since = min(key.active_from for key in newer)
        if since > milliseconds(now - settled_for):
            left = (since - milliseconds(now - settled_for)) // 1000 + 1
            raise KeyRefused(
                f"epoch {epoch} may still seal a pending enrolment: try again in {left} s"
            )


async def _refuse_unknown(connection: AsyncConnection) -> None:
    """Refuse to retire a key while records do not tell their epoch (from before version 0003)."""
    if (await connection.execute(WITHOUT_EPOCH)).first():
        raise KeyRefused(
            "records do not tell their epoch yet: run `openshow-auth keys rewrap` first"
        )


def _refuse_sealing(stored: KeyRecords, epoch: int) -> None:
    for use, keys in stored.sealed_keys.items():
        for key in keys:
            if epoch_of(key.sealed) == epoch:
                raise KeyRefused(
                    f"the {use} key {key.id} is still sealed under epoch {epoch}:"
                    " run `openshow-auth keys rewrap` first"
                )
