"""A guard's record of a token that it has verified."""

import msgspec

from .identity import Identity
from .revocations import Shard


class VerifiedToken(msgspec.Struct, frozen=True, gc=False):
    """What was found out about a verified token, and does not change until it expires."""

    identity: Identity
    session_id: bytes
    expires_at: int
    bucket: int
    shard: Shard
