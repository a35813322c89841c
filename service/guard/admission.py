"""What a guard keeps of a token that it has verified."""

import msgspec

from .identity import Identity
from .revocations import Shard


class Admission(msgspec.Struct, frozen=True, gc=False):
    """What was found out about a token that no time can change."""

    identity: Identity
    session_id: bytes
    expires_at: int
    bucket: int
    shard: Shard
