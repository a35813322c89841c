"""Tickets in Redis: one a purpose and user, of which the newest counts, and which works once.

    offset  length  field
    0       1       format version, 1
    1       16      digest of the token (`tokens.py`)
    17      7       version of the user row when it was issued
    24      …       what is bound to it, sealed; empty if nothing is

The version makes tickets end with an account's sessions: one that was issued by a row from before
`sessions_from` is none any more. Whoever takes it compares, as they have the row in hand.
"""

import hmac
from datetime import datetime, timedelta

import msgspec

from service.clock import moment
from service.errors import TicketNotFound, UnknownLayout
from service.keyring.envelope import Keyring
from service.opaque_tokens import DIGEST
from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.sessions.origin import RequestOrigin
from service.tickets import scripts
from service.tickets.scripts import ROW_VERSION, SHORTEST, VERSION
from service.tickets.tokens import PURPOSES, Purpose, TicketTokens, Token

_SEALED_FOR = "ticket"
_DIGEST = slice(1, 1 + DIGEST)
_ROW_VERSION = slice(1 + DIGEST, 1 + DIGEST + ROW_VERSION)


class Issued(msgspec.Struct, frozen=True):
    """A ticket as the person gets it. `token` is a secret until it is used up."""

    token: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"Issued(expires_at={self.expires_at})"


class Ticket(msgspec.Struct, frozen=True):
    """A ticket that is good: of whom, by which version of their row, and what is bound to it."""

    user_id: bytes
    row_version: int
    bound: bytes

    def __repr__(self) -> str:
        return f"Ticket(user_id={self.user_id.hex()}, row_version={self.row_version})"


class Minted(msgspec.Struct, frozen=True):
    """A ticket that is not issued yet: whoever issues it puts `record` under `key`.

    Of a purpose of which a user may have several, under its digest there.
    """

    token: Token
    key: bytes
    record: bytes

    def __repr__(self) -> str:
        return f"Minted(token={self.token!r})"


class Tickets:
    """Issues, finds and takes tickets. Any method may raise `StoreUnavailable`."""

    def __init__(self, redis: RedisClient, tokens: TicketTokens, keyring: Keyring) -> None:
        self._redis = redis
        self._tokens = tokens
        self._keyring = keyring

    async def issue(
        self,
        purpose: Purpose,
        user_id: bytes,
        row_version: int,
        life: timedelta,
        event: str,
        origin: RequestOrigin,
        *,
        bound: bytes = b"",
        reason: str = "",
        by: str = "",
    ) -> Issued:
        """Issue a ticket, which replaces the one before it, and write an event about it, if any.

        `row_version` is that of the row by which it is issued. `reason` and `by` go into the event.
        """
        minted = self.mint(purpose, user_id, row_version, bound)
        expires_at = await scripts.put(
            self._redis,
            user_id,
            origin,
            ticket_key=minted.key,
            record=minted.record,
            life=life // timedelta(milliseconds=1),
            event=event,
            reason=reason,
            by=by,
        )
        return Issued(minted.token.text, moment(expires_at))

    def mint(
        self, purpose: Purpose, user_id: bytes, row_version: int, bound: bytes = b""
    ) -> Minted:
        """Mint a ticket, without a word to Redis.

        Raises:
            KeyServiceUnavailable: the keys are not open yet.
        """
        token = self._tokens.mint(purpose, user_id)
        record = bytes((VERSION,)) + token.digest + row_version.to_bytes(ROW_VERSION)
        if bound:
            record += self._keyring.seal(bound, purpose=_SEALED_FOR, bound_to=_bound_to(token))
        return Minted(token, _key(purpose, user_id), record)

    def recognise(self, text: str, purpose: Purpose) -> Token:
        """Read a token of this purpose, without a word to Redis. Raises as `TicketTokens` does."""
        return self._tokens.recognise(text, purpose)

    async def find(self, token: Token) -> Ticket:
        """Find the ticket of a token, and leave it as it is. Only `take` decides who may use it.

        Raises:
            TicketNotFound: unknown, expired, used, or replaced: one answer.
            UnknownLayout: another version of this program has issued it.
            SealBroken: what is bound to it does not open.
        """
        stored = await self._redis.execute("GET", _key(token.purpose, token.user_id))
        if stored is None:
            raise TicketNotFound
        if stored[0] != VERSION or len(stored) < SHORTEST:
            raise UnknownLayout("a ticket")
        if not hmac.compare_digest(stored[_DIGEST], token.digest):
            raise TicketNotFound
        return self._read(token, stored)

    async def take(self, token: Token, life: timedelta, origin: RequestOrigin) -> Ticket:
        """Use the ticket of a token up, which was issued for `life`. Raises as `find`.

        One of before Redis has gone back in time is none any more: it may have been used.
        """
        ticket, _ = await self.take_with_time(token, life, origin)
        return ticket

    async def take_with_time(
        self, token: Token, life: timedelta, origin: RequestOrigin
    ) -> tuple[Ticket, int]:
        """Use the ticket of a token up, and tell when it was issued. Raises as `find`.

        That is in ms since 1970, by Redis' clock.
        """
        taken = await scripts.take(
            self._redis,
            token.user_id,
            origin,
            ticket_key=_key(token.purpose, token.user_id),
            digest=token.digest,
            life=life // timedelta(milliseconds=1),
        )
        if taken is None:
            raise TicketNotFound
        record, issued = taken
        return self._read(token, record), issued

    async def take_one_of_several(
        self, token: Token, life: timedelta, origin: RequestOrigin
    ) -> tuple[Ticket, int]:
        """Use the ticket of a token up, and those that its user got later. Raises as `find`.

        `life`: how long such a ticket is good. Returns when it was issued besides, in ms since 1970
        by Redis' clock.
        """
        taken = await scripts.take_one_of_several(
            self._redis,
            token.user_id,
            origin,
            tickets_key=_key(token.purpose, token.user_id),
            digest=token.digest,
            life=life // timedelta(milliseconds=1),
        )
        if taken is None:
            raise TicketNotFound
        record, issued = taken
        return self._read(token, record), issued

    async def forget_later(self, token: Token, issued: int, origin: RequestOrigin) -> None:
        """Delete those that the user of a token, which was `issued` then, got later."""
        await scripts.forget_later(
            self._redis,
            token.user_id,
            origin,
            tickets_key=_key(token.purpose, token.user_id),
            issued=issued,
        )

    async def forget(self, user_id: bytes, *kept: Purpose) -> None:
        """Delete the tickets of a user, but for those of some purposes."""
        keys = [_key(purpose, user_id) for purpose in PURPOSES if purpose not in kept]
        await self._redis.change("DEL", *keys)

    def _read(self, token: Token, record: bytes) -> Ticket:
        sealed = record[SHORTEST:]
        bound = b""
        if sealed:
            bound = self._keyring.open(sealed, purpose=_SEALED_FOR, bound_to=_bound_to(token))
        return Ticket(token.user_id, int.from_bytes(record[_ROW_VERSION]), bound)


async def forget_tickets(redis: RedisClient, user_id: bytes) -> None:
    """Delete all tickets of a user who is not there any more. Raises `StoreUnavailable`."""
    await redis.change("DEL", *(_key(purpose, user_id) for purpose in PURPOSES))


def _key(purpose: Purpose, user_id: bytes) -> bytes:
    return bucket(user_id).ticket + purpose.name.encode() + b":" + user_id


def _bound_to(token: Token) -> bytes:
    return bytes((token.purpose.code,)) + token.user_id + token.digest
