"""A guard's record of a token that it has verified."""

from typing import Self

import msgspec

from ..access_tokens.reader import Claims
from .identity import Identity
from .revocations import Ends, Shard


class VerifiedToken(msgspec.Struct, gc=False):
    """What was found out about a verified token; only `ends` changes until it expires."""

    identity: Identity
    token: str
    """Itself, to be compared with one that has its signature. Not shown."""
    session_id: bytes
    expires_at: int
    bucket: int
    opened_at: int
    """When its session was opened, ms by Redis' clock."""
    ends: Ends
    """What it is checked against; it has been compared with all cut-offs that this knows of."""

    def __repr__(self) -> str:
        return f"VerifiedToken({self.identity!r})"

    @property
    def user_id(self) -> bytes:
        """The id of the user."""
        return bytes.fromhex(self.identity.user_id)

    def has_ended(self) -> bool:
        """Tell whether its session has ended, as far as is known; if not, `ends` is the latest."""
        shard = self.ends.shard
        if shard.is_latest(self.ends):  # nothing has ended since the last comparison
            return False
        if shard.has_ended(self.user_id, self.session_id, self.opened_at):
            return True
        self.ends = shard.ends
        return False

    @classmethod
    def of(cls, token: str, claims: Claims, bucket: int, shard: Shard) -> Self:
        """Make it from what the token says; `shard` knows what has ended in its bucket."""
        identity = Identity(
            user_id=claims.sub,
            session_id=claims.sid,
            auth_time=claims.auth_time,
            methods=claims.amr,
            expires_at=claims.exp,
        )
        session_id = bytes.fromhex(claims.sid)
        opened_at, ends = claims.opened_at, shard.ends
        return cls(identity, token, session_id, claims.exp, bucket, opened_at, ends)
