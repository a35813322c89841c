"""Moves sealed secrets to the current epoch, while the service serves.

Each secret is replaced only if it is still the one that was read. So this may be killed at any
point, run again, and run twice at once.
"""

from collections.abc import Callable
from typing import Any

from service.accounts.second_factors import SealedSecret, SecondFactors
from service.errors import SealBroken
from service.keyring.envelope import Keyring, epoch_of
from service.redis.client import RedisClient
from service.redis.keys import EVERY_PENDING, bucket
from service.redis.scripts import Key, script
from service.twofactor.codes import reseal_secret
from service.twofactor.pending import reseal_pending, sealed_part

_BATCH = 1000
"""Rows a transaction. SQLite lets nobody else write for so long, some ten milliseconds."""


@script(
    text="""
-- Outcome: 1 replaced, 0 not
if redis.call('GETRANGE', pending, offset, -1) ~= old then return 0 end
redis.call('SETRANGE', pending, offset, new)
return 1
"""
)
def _replace(*, pending: Key, offset: int, old: bytes, new: bytes) -> Any:
    """Replace the sealed part of a pending enrolment, if it is still the one that was read.

    `offset`: of that part. `new` is as long as `old`.
    """


Progress = Callable[[int], None]
"""Called after each batch with how many secrets it had."""


class Resealing:
    """Reseals the secrets of second factors. All methods may raise `StoreUnavailable`."""

    def __init__(self, factors: SecondFactors, keyring: Keyring, progress: Progress) -> None:
        self._factors = factors
        self._keyring = keyring
        self._progress = progress
        self.broken = 0
        """How many did not open. They are left as they are."""

    async def reseal_enabled(self) -> None:
        """Reseal the secrets in the user store."""
        epoch, after = self._keyring.current_epoch, b""
        while batch := await self._factors.sealed_under_others(epoch, after, _BATCH):
            renewed = [(secret, new) for secret in batch if (new := self._renewed(secret))]
            await self._factors.reseal(renewed, epoch)
            self._progress(len(batch))
            after = batch[-1].user_id

    async def reseal_pending(self, redis: RedisClient) -> int:
        """Reseal pending enrolments in Redis. Return how many were replaced."""
        replaced = 0
        async for names in redis.scan(EVERY_PENDING):
            for name in names:
                replaced += await self._reseal_pending(redis, name)
        return replaced

    def _renewed(self, secret: SealedSecret) -> bytes | None:
        try:
            return reseal_secret(self._keyring, secret.user_id, secret.enrolment_id, secret.sealed)
        except SealBroken:
            self.broken += 1
            return None

    async def _reseal_pending(self, redis: RedisClient, name: bytes) -> int:
        user_id = name[-16:]
        stored = await redis.execute("GET", name)
        if stored is None or name != bucket(user_id).pending + user_id:
            return 0
        offset, old = sealed_part(stored)
        try:
            if epoch_of(old) == self._keyring.current_epoch:
                return 0
            new = reseal_pending(self._keyring, user_id, stored)
        except SealBroken:
            self.broken += 1
            return 0
        return int(await _replace(redis, pending=name, offset=offset, old=old, new=new))
