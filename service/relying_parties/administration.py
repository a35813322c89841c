"""What operators do with relying parties: register, list, remove them."""

import asyncio
import os
from collections.abc import Sequence

import msgspec

from service.clock import Clock, milliseconds, moment
from service.errors import InvalidField, RelyingPartyNotFound, TooManyRelyingParties
from service.events.event import ALL_STREAMS
from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.relying_parties import scripts
from service.relying_parties.marks import mark_all
from service.relying_parties.parties import (
    MOST,
    RelyingParty,
    client_id_of,
    registered,
    uri_of,
)
from service.relying_parties.redis_clock import earliest_now
from service.relying_parties.store import RelyingPartyStore
from service.sessions.origin import RequestOrigin
from service.sinks.receivers import Network
from service.sinks.state import SinkState

_ID = 8
"""Bytes of the id of a registration."""


class NewRelyingParty(msgspec.Struct, frozen=True):
    """What an operator says of a relying party."""

    client_id: str
    backchannel_logout_uri: str
    session_required: bool = True


class RelyingPartyAdministration:
    """Registers, lists and removes relying parties. All may raise `StoreUnavailable`.

    Each change is an event without a user, in the stream that the id of the registration names. It
    is written first: a change that fails half-way may be told twice, and none is left untold.
    """

    def __init__(
        self,
        redis: RedisClient,
        store: RelyingPartyStore,
        clock: Clock,
        allowed: Sequence[Network],
    ) -> None:
        """Work on these. `allowed`: networks that may be called though they are not public."""
        self._redis = redis
        self._store = store
        self._clock = clock
        self._allowed = allowed

    async def create(
        self, new: NewRelyingParty, origin: RequestOrigin, *, by: str, reason: str
    ) -> tuple[RelyingParty, bool]:
        """Register one, and tell whether that was to be done.

        It is told of each session that ends from now on.

        Raises:
            InvalidField: the client id or the URI cannot be used.
            RelyingPartyExists: the client has one that says something else.
            TooManyRelyingParties
        """
        party = RelyingParty(
            id=os.urandom(_ID),
            client_id=client_id_of(new.client_id),
            backchannel_logout_uri=uri_of(new.backchannel_logout_uri, self._allowed),
            session_required=new.session_required,
            since=0,
            created_at=moment(milliseconds(self._clock())),
        )
        known = await self._store.all()
        if other := registered(known, party):
            return other, False
        if len(known) >= MOST:
            raise TooManyRelyingParties(MOST)
        await mark_all(self._redis)
        since = await earliest_now(self._redis)
        await self._note("relyingParty.created", party, origin, by, reason)
        return await self._store.add(msgspec.structs.replace(party, since=since)), True

    async def all(self) -> Sequence[RelyingParty]:
        """List all that are registered, the oldest first."""
        return await self._store.all()

    async def find(self, client_id: str) -> RelyingParty | None:
        """Read the one of a client; `None`: its registration has ended.

        Raises:
            RelyingPartyNotFound: there never was one.
        """
        try:
            found, ever = await self._store.find(client_id_of(client_id))
        except InvalidField:  # what can be no client id is not for the database to read
            raise RelyingPartyNotFound from None
        if not ever:
            raise RelyingPartyNotFound
        return found

    async def remove(
        self, party: RelyingParty, origin: RequestOrigin, *, by: str, reason: str
    ) -> None:
        """End a registration. Pods hear of it within `following.PERIOD`; what waits is not told."""
        await self._note("relyingParty.removed", party, origin, by, reason)
        await self._store.remove(party, self._clock())
        state = SinkState(self._redis, party.sink)
        await asyncio.gather(*(state.leave_behind(bucket) for bucket in ALL_STREAMS))

    async def _note(
        self, event: str, party: RelyingParty, origin: RequestOrigin, by: str, reason: str
    ) -> None:
        await scripts.note(
            self._redis,
            events=bucket(party.id).events,
            event=event,
            ip=origin.address_text,
            request=origin.request_id,
            client=party.client_id,
            reason=reason,
            by=by,
        )
