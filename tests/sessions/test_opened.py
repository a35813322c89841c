"""Opening and counting as operators do it: sessions without access tokens, many at a time."""

import os

from tools.testbed.parts import CLIENT, Parts
from tools.testbed.redis_server import RedisServer

from service.redis.keys import bucket
from service.sessions.record import Authentication
from tests.support.keys import session_prefix


async def test_an_unsigned_session_is_a_session(parts: Parts) -> None:
    """Signed afterwards, its tokens do what those of any other do."""
    user_id = os.urandom(16)
    opened = await parts.sessions.open_unsigned(
        user_id, Authentication.PASSWORD, "user.loggedIn", CLIENT
    )
    tokens = parts.sessions.sign(opened)
    caller = parts.access_tokens.verify(tokens.access_token)
    assert (caller.user_id, caller.session_id) == (user_id, tokens.session_id)
    assert (await parts.sessions.current(caller)).expires_at.timestamp() * 1000 == opened.expires_at
    renewed = await parts.sessions.refresh(tokens.refresh_token, CLIENT)
    await parts.sessions.log_out(caller, renewed.refresh_token, CLIENT)
    assert tokens.refresh_token not in repr(opened)


async def test_only_living_sessions_count(parts: Parts, keys: RedisServer) -> None:
    """Not those that have ended or expired, nor the version of the user row beside them."""
    user_id = os.urandom(16)
    assert await parts.sessions.count(user_id) == 0
    for version in (0, 3, 3):
        await parts.sessions.open_unsigned(
            user_id, Authentication.PASSWORD, "user.loggedIn", CLIENT, version
        )
    pair = await parts.open(user_id)
    assert await parts.sessions.count(user_id) == 4
    caller = parts.access_tokens.verify(pair.access_token)
    await parts.sessions.log_out(caller, pair.refresh_token, CLIENT)
    assert await parts.sessions.count(user_id) == 3
    with keys.client() as client:
        index = client.hgetall(bucket(user_id).index + user_id)
        digest = next(value for name, value in index.items() if len(name) == 12)
        client.delete(session_prefix(user_id) + digest)  # as if it had expired
    assert await parts.sessions.count(user_id) == 2
    assert await parts.sessions.count(os.urandom(16)) == 0
