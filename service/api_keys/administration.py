"""What operators do with API keys: make, list, revoke them."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from service.api_keys import scripts, tokens
from service.api_keys.keys import ApiKey, Scope
from service.api_keys.store import ApiKeyStore
from service.clock import Clock, milliseconds, moment
from service.errors import ApiKeyNotFound
from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.sessions.origin import RequestOrigin


class NewKey(msgspec.Struct, frozen=True):
    """A key that was just made, with its text, which nobody can be shown again."""

    key: ApiKey
    text: str

    def __repr__(self) -> str:
        return f"NewKey(id={self.key.id.hex()})"


class ApiKeyAdministration:
    """Makes, lists and revokes keys. All may raise `StoreUnavailable`.

    Each change is an event without a user, in the stream that the key's id names.
    """

    def __init__(self, redis: RedisClient, store: ApiKeyStore, clock: Clock) -> None:
        self._redis = redis
        self._store = store
        self._clock = clock

    async def create(
        self,
        name: str,
        scopes: tuple[Scope, ...],
        expires_at: datetime | None,
        origin: RequestOrigin,
        *,
        by: str,
        reason: str,
    ) -> NewKey:
        """Make a key. It is good from now on, at all pods.

        Where that fails half-way there may be a key whose text nobody has.
        """
        minted = tokens.mint()
        now = moment(milliseconds(self._clock()))
        key = ApiKey(minted.id, name, scopes, now, expires_at)
        await self._store.add(key, minted.digest)
        await self._note("apiKey.created", key, origin, by, reason)
        return NewKey(key, minted.text)

    async def all(self) -> Sequence[ApiKey]:
        """List all keys, the oldest first, those that are of no use any more as well."""
        return await self._store.all()

    async def find(self, key_id: bytes) -> ApiKey:
        """Read a key.

        Raises:
            ApiKeyNotFound
        """
        found = await self._store.find(key_id)
        if found is None:
            raise ApiKeyNotFound
        return found.key

    async def revoke(self, key: ApiKey, origin: RequestOrigin, *, by: str, reason: str) -> bool:
        """Revoke a key, for good. Tell whether that was to be done.

        Pods hear of it within `verification.GOOD_FOR`. The event is written first: a revocation
        that fails half-way is told twice, and none is left untold.
        """
        if key.revoked_at is not None:
            return False
        await self._note("apiKey.revoked", key, origin, by, reason)
        await self._store.revoke(key.id, self._clock())
        return True

    async def _note(
        self, event: str, key: ApiKey, origin: RequestOrigin, by: str, reason: str
    ) -> None:
        await scripts.note(
            self._redis,
            events=bucket(key.id).events,
            event=event,
            ip=origin.address_text,
            request=origin.request_id,
            key=key.id.hex(),
            name=key.name,
            scopes=" ".join(key.scopes),
            reason=reason,
            by=by,
        )
