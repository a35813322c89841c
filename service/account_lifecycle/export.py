"""All that is kept of an account, for its owner: nothing of it is secret."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from service.accounts.provider_identities import LinkedIdentity, ProviderIdentities
from service.accounts.user_rows import User
from service.accounts.users import Users
from service.clock import Clock
from service.redis.client import RedisClient
from service.redis.user_events import Event, events_of
from service.sessions.origin import RequestOrigin
from service.sessions.record import Session
from service.sessions.user_scripts import user_script


class Export(msgspec.Struct, frozen=True):
    """What is kept of an account: its row, its living sessions, its identities at providers.

    And its events, oldest first.
    """

    at: datetime
    user: User
    sessions: Sequence[Session]
    identities: Sequence[LinkedIdentity]
    events: Sequence[Event]


@user_script("account_lifecycle/exported.lua")
def _exported(*, by: str, reason: str) -> Any:
    """Note that the account was exported."""


class AccountExports:
    """Exports accounts. May raise `StoreUnavailable`."""

    def __init__(
        self, redis: RedisClient, users: Users, identities: ProviderIdentities, clock: Clock
    ) -> None:
        self._redis = redis
        self._users = users
        self._identities = identities
        self._clock = clock

    async def export(
        self,
        user_id: bytes,
        sessions: Sequence[Session],
        origin: RequestOrigin,
        *,
        by: str,
        reason: str = "",
    ) -> Export | None:
        """Collect what is kept of an account whose living sessions are these.

        It is an event, and the last one of what is returned; `by` and `reason` go into it.
        `None`: there is no such account.
        """
        user = await self._users.get(user_id, None)
        if user is None:
            return None
        identities = await self._identities.of_user(user_id)
        await _exported(self._redis, user_id, origin, by=by, reason=reason)
        events = await events_of(self._redis, user_id)
        return Export(self._clock(), user, sessions, identities, events)
