"""Something else at the key of a bucket's events: an operator is told which, and what to do."""

from datetime import timedelta

import pytest
from tools.testbed.redis_server import RedisServer

from service.errors import UnknownLayout
from service.redis.client import RedisClient
from service.redis.event_streams import EventStreams, foreign_streams
from service.redis.keys import numbered
from tests.support.log_state import captured
from tests.support.looking import ON_VALKEY


@ON_VALKEY
async def test_something_else_is_there(keys: RedisServer) -> None:
    """The log names the key, and what is refused says that somebody else has written it."""
    redis, seen = RedisClient(keys.url), list[int]()
    streams = EventStreams(redis, timedelta(hours=1), seen.append)
    key = numbered(9).events
    with keys.client() as client:
        assert await foreign_streams(redis) == []
        client.set(key, "somebody's", ex=60)
        with captured() as lines:
            await streams._look_at_all()
        assert await foreign_streams(redis) == [key.decode()]
        with pytest.raises(UnknownLayout, match=r"of another type, .*`openshow-auth doctor`"):
            await streams.look(9)
        client.delete(key)
    await redis.aclose()
    [line] = [line for line in lines if line["log_level"] == "error"]
    assert line["key"] == key.decode()
    assert "RENAME" in line["advice"]
