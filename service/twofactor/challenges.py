"""Login challenges in Redis: the password was right, the second factor is still to come.

A challenge id is the unpadded base64url of 33 bytes: the first byte of the user id, which is all
that is needed to find the bucket, then 256 random bits. Redis holds its SHA-256. The record is the
user id (16 bytes), the id of the enrolment it was made under (16), and the wrong tries (1).

Beside it, under the same key and `:row`, stands the version of the user row by which the password
was right, as a decimal number: a challenge ends with the sessions of that row. Where a provider has
said who the person is, a blank follows and the login there (`sessions/upstream.py`), as msgpack in
hex. Where the first step has named an audience of the session, another blank follows, and that in
hex. Versions that do not know these refuse them. It has a key of its own because versions of this
program that do not know it answer challenges, too. Where they have issued one, it is not there,
which counts as version 0.
"""

import base64
import binascii
import hashlib
import os
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from service.clock import moment
from service.errors import ChallengeNotFound, UnknownLayout
from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.redis.scripts import Key, script
from service.sessions.origin import RequestOrigin
from service.sessions.upstream import UpstreamLogin
from service.twofactor import scripts
from service.twofactor.scripts import CHALLENGE_BYTES, CHALLENGE_ROW, clock_ms

_ID_BYTES = 33
_ID_TEXT = 44
_USER_ID, _ENROLMENT_ID = slice(0, 16), slice(16, 32)


@script(
    text="""
-- Outcome: when it expires, ms since 1970
redis.call('SET', challenge_key, record, 'PX', life)
redis.call('SET', row_key, row_version, 'PX', life)
return redis.call('PEXPIRETIME', challenge_key)
"""
)
def _issue(*, challenge_key: Key, row_key: Key, record: bytes, row_version: str, life: int) -> Any:
    """Keep a challenge for `life` ms."""


@script(
    text="return {redis.call('GET', challenge_key), redis.call('GET', row_key)}",
    acknowledged=False,
)
def _read(*, challenge_key: Key, row_key: Key) -> Any:
    """Read a challenge, and the version of the row by which it was issued."""


class Issued(msgspec.Struct, frozen=True):
    """A challenge as the client gets it. `id` is a secret until it is used up."""

    id: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"Issued(expires_at={self.expires_at})"


class Challenge(msgspec.Struct, frozen=True):
    """An open challenge: whose it is, and by which enrolment and version of the row it was made."""

    digest: bytes
    user_id: bytes
    enrolment_id: bytes
    row_version: int = 0
    login: UpstreamLogin | None = None
    """Of a challenge that came after a login at a provider, not after a password."""
    audience: str | None = None
    """Of the session's access tokens, if the first step has named one."""


class Challenges:
    """Issues and judges login challenges. Any method may raise `StoreUnavailable`."""

    def __init__(self, redis: RedisClient, life: timedelta) -> None:
        self._redis = redis
        self._life = life // timedelta(milliseconds=1)

    async def issue(
        self,
        user_id: bytes,
        enrolment_id: bytes,
        row_version: int,
        login: UpstreamLogin | None = None,
        *,
        audience: str | None = None,
    ) -> Issued:
        """Open a challenge for a person whose password was right by this version of their row.

        `login`: at a provider, in place of a password. `audience`: of the session's access tokens.
        """
        secret = user_id[:1] + os.urandom(_ID_BYTES - 1)
        key = bucket(user_id).challenge + hashlib.sha256(secret).digest()
        record = user_id + enrolment_id + b"\0"
        expires_at = await _issue(
            self._redis,
            challenge_key=key,
            row_key=key + CHALLENGE_ROW,
            record=record,
            row_version=_write_row(row_version, login, audience),
            life=self._life,
        )
        return Issued(base64.urlsafe_b64encode(secret).decode(), moment(expires_at))

    async def find(self, challenge_id: str) -> Challenge:
        """Find the open challenge with this id.

        Raises:
            ChallengeNotFound: unknown, malformed, expired or used: one answer.
            UnknownLayout: another version of this program has issued it.
        """
        secret = _secret(challenge_id)
        digest = hashlib.sha256(secret).digest()
        key = bucket(secret).challenge + digest
        stored, row = await _read(self._redis, challenge_key=key, row_key=key + CHALLENGE_ROW)
        if stored is None:
            raise ChallengeNotFound
        if len(stored) != CHALLENGE_BYTES:
            raise UnknownLayout("a login challenge")
        told = _read_row(b"0" if row is None else row)
        return Challenge(digest, stored[_USER_ID], stored[_ENROLMENT_ID], *told)

    async def answer(
        self,
        challenge: Challenge,
        how: Literal["totp", "recovery", "wrong"],
        step: int | None,
        origin: RequestOrigin,
    ) -> bool:
        """Judge an answer, and count it if it is wrong. Return whether the challenge is now passed.

        Raises:
            ChallengeNotFound: it was used up or has expired in the meantime.
        """
        names = bucket(challenge.user_id)
        outcome = await scripts.answer(
            self._redis,
            challenge.user_id,
            origin,
            challenge_key=names.challenge + challenge.digest,
            watermark_key=names.totp + challenge.enrolment_id,
            how=how,
            code_step="" if step is None else step,
            clock=clock_ms(),
        )
        if outcome == b"gone":
            raise ChallengeNotFound
        return bool(outcome == b"accepted")


def _secret(challenge_id: str) -> bytes:
    """Decode a challenge's id, which must be spelt canonically."""
    if len(challenge_id) != _ID_TEXT or not challenge_id.isascii():
        raise ChallengeNotFound
    try:
        secret = base64.urlsafe_b64decode(challenge_id)
    except binascii.Error:
        raise ChallengeNotFound from None
    if base64.urlsafe_b64encode(secret).decode() != challenge_id:
        raise ChallengeNotFound
    return secret


def _write_row(version: int, login: UpstreamLogin | None, audience: str | None) -> str:
    """Write what stands beside a challenge, without what is nothing at its end."""
    parts = [
        str(version),
        "" if login is None else msgspec.msgpack.encode(login).hex(),
        "" if audience is None else audience.encode().hex(),
    ]
    return " ".join(parts).rstrip(" ")


def _read_row(row: bytes) -> tuple[int, UpstreamLogin | None, str | None]:
    """Read it: the version of the row, a login at a provider, and an audience."""
    version, *more = row.decode("latin-1").split(" ")
    try:
        if not version.isdecimal() or len(more) > 2 or (more and not more[-1]):
            raise UnknownLayout("a login challenge")
        login, audience = map(bytes.fromhex, (*more, "", "")[:2])
        return (
            int(version),
            msgspec.msgpack.decode(login, type=UpstreamLogin) if login else None,
            audience.decode() if audience else None,
        )
    except (ValueError, msgspec.MsgspecError):
        raise UnknownLayout("a login challenge") from None
