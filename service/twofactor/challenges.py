"""Login challenges in Redis: the password was right, the second factor is still to come.

A challenge id is the unpadded base64url of 33 bytes: the first byte of the user id, which is all
that is needed to find the bucket, then 256 random bits. Redis holds its SHA-256. The record is the
user id (16 bytes), the id of the enrolment it was made under (16), and the wrong tries (1).
"""

import base64
import binascii
import hashlib
import os
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from service.clock import moment
from service.errors import ChallengeNotFound, UnknownLayout
from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.redis.scripts import Script
from service.sessions.origin import RequestOrigin
from service.twofactor.scripts import CHALLENGE_BYTES, WATERMARK_MS, call, script

_ID_BYTES = 33
_ID_TEXT = 44
_USER_ID, _ENROLMENT_ID = slice(0, 16), slice(16, 32)

_ISSUE = Script("""
-- Keep a challenge. KEYS[1] challenge:{b}:<digest>; ARGV[1] record, ARGV[2] life, ms
-- Outcome: when it expires, ms since 1970
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return redis.call('PEXPIRETIME', KEYS[1])
""")
_ANSWER = script("answer.lua")


class Issued(msgspec.Struct, frozen=True):
    """A challenge as the client gets it. `id` is a secret until it is used up."""

    id: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"Issued(expires_at={self.expires_at})"


class Challenge(msgspec.Struct, frozen=True):
    """An open challenge: whose it is, and under which enrolment it was made."""

    digest: bytes
    user_id: bytes
    enrolment_id: bytes


class Challenges:
    """Any method may raise `StoreUnavailable`."""

    def __init__(self, redis: RedisClient, life: timedelta) -> None:
        self._redis = redis
        self._life = life // timedelta(milliseconds=1)

    async def issue(self, user_id: bytes, enrolment_id: bytes) -> Issued:
        """Open a challenge for a person whose password was right."""
        secret = user_id[:1] + os.urandom(_ID_BYTES - 1)
        key = bucket(user_id).challenge + hashlib.sha256(secret).digest()
        expires_at = await _ISSUE(self._redis, [key], [user_id + enrolment_id + b"\0", self._life])
        return Issued(base64.urlsafe_b64encode(secret).decode(), moment(expires_at))

    async def find(self, challenge_id: str) -> Challenge:
        """The open challenge with this id.

        Raises:
            ChallengeNotFound: unknown, malformed, expired or used: one answer.
            UnknownLayout: another version of this program has issued it.
        """
        secret = _secret(challenge_id)
        digest = hashlib.sha256(secret).digest()
        stored = await self._redis.execute("GET", bucket(secret).challenge + digest)
        if stored is None:
            raise ChallengeNotFound
        if len(stored) != CHALLENGE_BYTES:
            raise UnknownLayout("a login challenge")
        return Challenge(digest, stored[_USER_ID], stored[_ENROLMENT_ID])

    async def answer(
        self,
        challenge: Challenge,
        how: Literal["totp", "recovery", "wrong"],
        step: int | None,
        origin: RequestOrigin,
    ) -> bool:
        """Judge an answer, and count it if it is wrong. Whether the challenge is now passed.

        Raises:
            ChallengeNotFound: it was used up or has expired in the meantime.
        """
        names = bucket(challenge.user_id)
        outcome = await call(
            self._redis,
            _ANSWER,
            challenge.user_id,
            origin,
            [names.challenge + challenge.digest, names.totp + challenge.enrolment_id],
            how,
            "" if step is None else step,
            WATERMARK_MS,
        )
        if outcome == b"gone":
            raise ChallengeNotFound
        return bool(outcome == b"accepted")


def _secret(challenge_id: str) -> bytes:
    """The bytes of a canonically spelt id."""
    if len(challenge_id) != _ID_TEXT or not challenge_id.isascii():
        raise ChallengeNotFound
    try:
        secret = base64.urlsafe_b64decode(challenge_id)
    except binascii.Error:
        raise ChallengeNotFound from None
    if base64.urlsafe_b64encode(secret).decode() != challenge_id:
        raise ChallengeNotFound
    return secret
