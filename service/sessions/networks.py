"""Where a person's sessions are: the addresses stand in their records."""

from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.sessions import scripts
from service.sessions.origin import RequestOrigin


async def lives_in_network(redis: RedisClient, user_id: bytes, origin: RequestOrigin) -> bool:
    """Tell whether a session of this user lives in the network that a request comes from.

    Raises:
        StoreUnavailable
    """
    keys = bucket(user_id)
    return bool(
        await scripts.lives_in(
            redis, index=keys.index + user_id, tag=keys.tag, packed=origin.packed()
        )
    )
