"""A guard's record of a token that it has verified."""

from typing import Self

import msgspec

from ..access_tokens.reader import Claims
from .identity import Identity
from .revocations import Shard


class VerifiedToken(msgspec.Struct, frozen=True, gc=False):
    """What was found out about a verified token, and does not change until it expires."""

    identity: Identity
    session_id: bytes
    expires_at: int
    bucket: int
    shard: Shard

    @classmethod
    def of(cls, claims: Claims, bucket: int, shard: Shard) -> Self:
        """Make it from what the token says; `shard` holds the ended sessions of its bucket."""
        identity = Identity(
            user_id=claims.sub,
            session_id=claims.sid,
            auth_time=claims.auth_time,
            methods=claims.amr,
            expires_at=claims.exp,
        )
        return cls(identity, bytes.fromhex(claims.sid), claims.exp, bucket, shard)
