"""Names of keys that the service's scripts put together in Redis."""

from service.redis.keys import HANDOFF, SESSION, bucket


def session_prefix(user_id: bytes) -> bytes:
    """What the keys of a user's session records begin with; the token's digest follows."""
    return SESSION.encode() + bucket(user_id).tag


def handoff_prefix(user_id: bytes) -> bytes:
    """What the keys of a user's handoffs begin with; the session's id follows."""
    return HANDOFF.encode() + bucket(user_id).tag
