"""Rotation of the token keys: the signing key of access tokens, the MAC key of refresh tokens.

A new key is published first and used later, when everybody has had time to read it; an old one goes
when nothing that it made can be good any more::

    published -- 11 min --> in use -- its successor is in use --> verifies -- life --> gone

11 minutes are the life of the published set, and one for clocks that differ. The life is that of an
access token for the one use and that of a session for the other, and again a minute.
"""

from datetime import timedelta

from sqlalchemy import delete, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from service.clock import Clock, milliseconds
from service.database.engine import store_errors
from service.database.tables import sealed_keys
from service.errors import KeyRefused
from service.keyring.envelope import Keyring
from service.keyring.records import ROTATED, SIGNING, SKEW, KeyLives, in_use
from service.keyring.store import LARGEST_ID, MINTS, lock_keys, require_epoch, sealed_row
from service.keyring.unsealing import UnsealedKeys

JWKS_AGE = timedelta(minutes=10)
"""How long others may keep the published set: the `max-age` that goes along with it."""

DELAY = JWKS_AGE + SKEW
"""The time from publishing a key to its use.

MAC keys have it too: a process without the user store for so long must not refuse tokens that
another has minted.
"""


class TokenKeyRotation:
    """Rotates the keys of one database. All methods may raise `StoreUnavailable`."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def publish(self, use: str, opened: UnsealedKeys, *, at_once: bool = False) -> int:
        """Publish the successor of the newest key of a use. Return its id.

        `opened` are the keys as this process knows them; if another process has published one
        since, or the last one is not active yet, nothing is changed.

        Raises:
            KeyRefused: there is one already that waits for its time.
        """
        now = self._clock()
        newest = opened.stored.sealed_keys[use][-1]
        if newest.active_from > milliseconds(now) and not at_once:
            raise KeyRefused(f"the {use} key {newest.id} is published and waits for its time")
        key_id = _free_id(use, {key.id for key in opened.stored.sealed_keys[use]})
        keyring = Keyring(opened.data_keys, opened.current_epoch(milliseconds(now)))
        secret = MINTS[use]()
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    await lock_keys(connection)
                    now = self._clock()  # by now: others may have held the lock for long
                    active_from = milliseconds(now if at_once else now + DELAY)
                    row = sealed_row(keyring, use, key_id, secret, milliseconds(now), active_from)
                    await require_epoch(connection, keyring.current_epoch)
                    await connection.execute(insert(sealed_keys), row)
        except IntegrityError:
            raise KeyRefused(f"another process has just published the {use} key {key_id}") from None
        return key_id

    async def rotate_aged(self, opened: UnsealedKeys, lives: KeyLives) -> None:
        """Publish successors of keys that are old enough, and delete those that nothing needs.

        Every process does this all the time; of those that race, one gets its way.
        """
        now = self._clock()
        for use in ROTATED:
            keys = opened.stored.sealed_keys[use]
            newest = keys[-1]
            if max(newest.active_from, newest.created_at) <= milliseconds(now - lives.age):
                try:
                    await self.publish(use, opened)
                except KeyRefused:
                    return  # another process was first
            kept = in_use(keys, milliseconds(now), lives.after(use))[0]
            over = [key.id for key in keys if key not in kept]
            if over:
                await self._delete(use, over)

    async def revoke(self, use: str, key_id: int, opened: UnsealedKeys) -> int | None:
        """Delete a key at once; what it has made is refused from the next look at the tables on.

        If it was the one in use, or the only one to come, a new one takes its place at once.
        Returns the new one's id, or `None`.

        Raises:
            KeyRefused: there is no such key.
        """
        keys = opened.stored.sealed_keys[use]
        if key_id not in {key.id for key in keys}:
            raise KeyRefused(f"there is no {use} key {key_id}")
        now = milliseconds(self._clock())
        left = [key for key in keys if key.id != key_id]
        active = [key for key in left if key.active_from <= now]
        was_active = in_use(keys, now, None)[1].id == key_id
        fresh = None
        if was_active or not active:
            fresh = await self.publish(use, opened, at_once=True)
        await self._delete(use, [key_id])
        return fresh

    async def _delete(self, use: str, ids: list[int]) -> None:
        with store_errors():
            async with self._engine.begin() as connection:
                await lock_keys(connection)
                for key_id in ids:
                    await connection.execute(
                        delete(sealed_keys).where(
                            sealed_keys.c.use == use, sealed_keys.c.id == str(key_id)
                        )
                    )


def _free_id(use: str, taken: set[int]) -> int:
    """Choose the id of a new key: the next number; after the largest, one that has become free."""
    key_id = max(taken) + 1
    if use == SIGNING or key_id <= LARGEST_ID:
        return key_id
    free = set(range(1, LARGEST_ID + 1)) - taken
    if not free:
        raise KeyRefused(f"there are {LARGEST_ID} {use} keys: wait until the oldest is over")
    return min(free)
