"""Pending enrolments in Redis: one a user, sealed, with a life of their own."""

import os
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from service.clock import moment
from service.errors import InvalidAccessToken, UnknownLayout
from service.keyring.envelope import Keyring
from service.rate_limits.limits import Counter
from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.sessions.origin import RequestOrigin
from service.twofactor import scripts
from service.twofactor.recovery_codes import CODE_BYTES, new_codes
from service.twofactor.scripts import ENROLMENT_ID, PENDING_BYTES, clock_ms
from service.twofactor.totp import SECRET_BYTES, new_secret

_PURPOSE = "pending enrolment"
_SEALED_AT = 25
"""Offset of the sealed part: before it stand the id, the wrong tries and the confirming step."""


def sealed_part(stored: bytes) -> tuple[int, bytes]:
    """Return the offset of the sealed part of a pending enrolment, and that part."""
    return _SEALED_AT, stored[_SEALED_AT:]


def reseal_pending(keyring: Keyring, user_id: bytes, stored: bytes) -> bytes:
    """Seal the sealed part anew under the current epoch; it stays as long. Raises `SealBroken`."""
    bound_to = user_id + stored[:ENROLMENT_ID]
    opened = keyring.open(stored[_SEALED_AT:], purpose=_PURPOSE, bound_to=bound_to)
    return keyring.seal(opened, purpose=_PURPOSE, bound_to=bound_to)


class Enrolment(msgspec.Struct, frozen=True):
    """An enrolment that waits to be confirmed.

    The recovery codes are minted with the secret, so that a confirmation that was cut short and is
    repeated shows the same ones.
    """

    id: bytes
    secret: bytes
    recovery_codes: tuple[bytes, ...]

    def __repr__(self) -> str:
        return f"Enrolment(id={self.id.hex()})"


class PendingEnrolments:
    """Pending enrolments, one a user at most. Any method may raise `StoreUnavailable`."""

    def __init__(self, redis: RedisClient, keyring: Keyring, life: timedelta) -> None:
        self._redis = redis
        self._keyring = keyring
        self._life = life // timedelta(milliseconds=1)

    async def begin(
        self,
        user_id: bytes,
        origin: RequestOrigin,
        *,
        caller: bytes = b"",
        since: int = 0,
        counter: Counter | None = None,
    ) -> tuple[Enrolment, datetime]:
        """Mint an enrolment, which replaces the one before. Return it, and when it expires.

        In the same step it is checked that the session `caller` lives, by the version `since` of
        the user row or a later one (empty: whoever asks has checked that), and the call is counted.

        Raises:
            InvalidAccessToken: the session has ended.
            TooManyAttempts: the limit of `counter` is reached.
        """
        enrolment = Enrolment(os.urandom(ENROLMENT_ID), new_secret(), tuple(new_codes()))
        sealed = self._keyring.seal(
            b"".join((enrolment.secret, *enrolment.recovery_codes)),
            purpose=_PURPOSE,
            bound_to=user_id + enrolment.id,
        )
        names = bucket(user_id)
        most, window, _, life = counter.limit.numbers if counter else (0, 0, 0, 0)
        answer = await scripts.begin(
            self._redis,
            user_id,
            origin,
            pending_key=names.pending + user_id,
            calls_key=names.attempts + (counter.name if counter else b""),
            caller=caller,
            since=since,
            enrolment_id=enrolment.id,
            sealed=sealed,
            pending_life=self._life,
            calls_most=most,
            calls_window=window,
            calls_life=life,
        )
        match answer:
            case int():
                return enrolment, moment(answer)
            case [b"wait", wait]:
                assert counter  # noqa: S101  else nothing is counted
                raise counter.refusal(wait)
            case _:
                raise InvalidAccessToken

    async def find(self, user_id: bytes, enrolment_id: bytes) -> Enrolment | None:
        """Find the pending enrolment of this user, if it has this id.

        Raises:
            UnknownLayout: another version of this program has written what is stored.
            SealBroken: what is stored was not sealed by us for this user and enrolment.
        """
        stored = await self._redis.execute("GET", bucket(user_id).pending + user_id)
        if stored is not None and len(stored) != PENDING_BYTES:
            raise UnknownLayout("a pending enrolment")
        if stored is None or stored[:ENROLMENT_ID] != enrolment_id:
            return None
        opened = self._keyring.open(
            stored[_SEALED_AT:], purpose=_PURPOSE, bound_to=user_id + enrolment_id
        )
        starts = range(SECRET_BYTES, len(opened), CODE_BYTES)
        return Enrolment(
            id=enrolment_id,
            secret=opened[:SECRET_BYTES],
            recovery_codes=tuple(opened[start : start + CODE_BYTES] for start in starts),
        )

    async def confirm(
        self, user_id: bytes, enrolment_id: bytes, step: int | None, origin: RequestOrigin
    ) -> Literal["accepted", "wrong", "gone"]:
        """Judge a code by the step it belongs to (`None`: to none) and count it if it is wrong."""
        names = bucket(user_id)
        outcome: bytes = await scripts.confirm(
            self._redis,
            user_id,
            origin,
            pending_key=names.pending + user_id,
            watermark_key=names.totp + enrolment_id,
            enrolment_id=enrolment_id,
            code_step="" if step is None else step,
            clock=clock_ms(),
        )
        match outcome:
            case b"accepted":
                return "accepted"
            case b"wrong":
                return "wrong"
            case _:
                return "gone"

    async def forget(self, user_id: bytes) -> None:
        """Delete the enrolment of a user who is not there any more."""
        await self._redis.change("DEL", bucket(user_id).pending + user_id)

    async def complete(
        self, user_id: bytes, enrolment_id: bytes, version: int | None, origin: RequestOrigin
    ) -> None:
        """Consume the enrolment that the user row, now at `version`, says is on.

        `None`: that version is published already.
        """
        await scripts.complete(
            self._redis,
            user_id,
            origin,
            pending_key=bucket(user_id).pending + user_id,
            enrolment_id=enrolment_id,
            row_version="" if version is None else version,
        )
