"""The sink that posts logout tokens to one relying party."""

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol
from urllib.parse import urlencode

import msgspec

from service.errors import KeyServiceUnavailable
from service.events.event import AuditEvent
from service.relying_parties.endings import Ending, endings
from service.relying_parties.logout_tokens import LogoutTokens
from service.relying_parties.parties import RelyingParty
from service.sinks.batch import Batch
from service.sinks.posting import Lines, PostFailed
from service.sinks.receivers import Forbidden, Network, receiver_at
from service.sinks.sink import Retries, SinkFailed

GIVEN_UP_AFTER = timedelta(minutes=5)
"""How long it is tried to tell of an ending: by then whatever it would end has long been refused by
whoever asks us, and a party that is back does not want to hear of yesterday first."""

_DONE = (200, 204)
_REFUSED = 400
_HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}


class TokenCounts(Protocol):
    """Where it is counted what becomes of logout tokens. `client`: the client's id."""

    def accepted(self, client: str, lag: float) -> None: ...
    def refused(self, client: str) -> None: ...
    def failed(self, client: str) -> None: ...


class _Telling(msgspec.Struct):
    """How far an event has been told."""

    event_id: str
    told: int = 0
    is_refused: bool = False
    failed_at: float | None = None
    """When it could not be told for the first time, s of the monotonic clock."""


class RelyingPartySink:
    """Posts a logout token for each session that ends, signed when it is posted.

    Told is what was answered with 200 or 204. What the party refuses (400) is parked at once, and
    anything else is tried again for `GIVEN_UP_AFTER`; of a party that has been down for so long,
    what is older than that is tried once.
    """

    at_once = 100
    retries = Retries(timedelta(seconds=1), timedelta(seconds=30))

    def __init__(
        self,
        party: RelyingParty,
        tokens: LogoutTokens,
        counts: TokenCounts,
        allowed: Sequence[Network] = (),
    ) -> None:
        """Connect to nothing yet."""
        self.name = party.sink
        self.starts_behind = f"{party.since}-0"
        self._party = party
        self._tokens = tokens
        self._counts = counts
        self._lines = Lines(receiver_at(party.backchannel_logout_uri), allowed)
        self._tellings: dict[int, _Telling] = {}
        self._down_since: float | None = None

    async def deliver(self, batch: Batch, seconds: float) -> int:
        """Tell of one ending after the other; of most events there is nothing to tell."""
        until = time.monotonic() + seconds
        for arrived, event in enumerate(batch.events):
            ended = endings(event, self._party.session_required)
            if ended and not await self._tell(batch.bucket, event, ended, arrived, until):
                return arrived
        return len(batch.events)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._lines.aclose()

    async def _tell(
        self, bucket: int, event: AuditEvent, ended: Sequence[Ending], arrived: int, until: float
    ) -> bool:
        """Tell of what has ended by an event, from where that was left off. False: no time left."""
        telling = self._tellings.get(bucket)
        if telling is None or telling.event_id != event.id:
            telling = self._tellings[bucket] = _Telling(event.id)
        for ending in ended[telling.told :]:
            if time.monotonic() > until:
                return False
            await self._post(bucket, event, ending, telling, arrived)
            telling.told += 1
        del self._tellings[bucket]
        if telling.is_refused:
            raise SinkFailed(f"it has answered with {_REFUSED}", arrived, is_refused=True)
        return True

    async def _post(
        self, bucket: int, event: AuditEvent, ending: Ending, telling: _Telling, arrived: int
    ) -> None:
        """Post one token. Raises `SinkFailed`; that it is refused is noted."""
        client = self._party.client_id
        try:
            token = self._tokens.sign(client, ending)
        except KeyServiceUnavailable:  # no fault of the party's: it is not given up for that
            raise SinkFailed("the keys are not open", arrived) from None
        try:
            status = await self._lines.of(bucket).post(
                _HEADERS, urlencode({"logout_token": token}).encode()
            )
        except (PostFailed, Forbidden) as error:
            raise self._failure(str(error), event, telling, arrived) from None
        if status not in (*_DONE, _REFUSED):
            raise self._failure(f"it has answered with {status}", event, telling, arrived)
        self._down_since = None
        if status == _REFUSED:
            telling.is_refused = True
            self._counts.refused(client)
        else:
            self._counts.accepted(client, max(0.0, time.time() - event.position.ms / 1000))

    def _failure(
        self, reason: str, event: AuditEvent, telling: _Telling, arrived: int
    ) -> SinkFailed:
        now, bound = time.monotonic(), GIVEN_UP_AFTER.total_seconds()
        self._counts.failed(self._party.client_id)
        if telling.failed_at is None:
            telling.failed_at = now
        if self._down_since is None:
            self._down_since = now
        age = time.time() - event.position.ms / 1000
        is_final = now - telling.failed_at >= bound or (
            now - self._down_since >= bound and age >= bound
        )
        return SinkFailed(reason, arrived, is_final=is_final)
