"""Reading one user's events out of a stream that others write, too."""

import os

from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import RedisServer

from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.redis.user_events import events_of
from tests.support.looking import ON_VALKEY

pytestmark = ON_VALKEY


async def test_all_of_them_in_order(keys: RedisServer) -> None:
    """Over pages of 500, however many others stand between, and none twice."""
    user = os.urandom(16)
    stream = bucket(user).events
    with keys.client() as client, client.pipeline() as pipeline:
        for number in range(1_601):
            whose = user if number % 3 == 0 or number in (499, 500, 501, 1600) else os.urandom(16)
            pipeline.xadd(
                stream,
                {"type": "x", "user": whose.hex(), "number": number},
                id=f"{1 + number // 4}-{number}",
            )
        pipeline.execute()
    redis = RedisClient(keys.url, timing=PATIENTLY)
    found = await events_of(redis, user)
    await redis.aclose()
    wanted = [n for n in range(1_601) if n % 3 == 0 or n in (499, 500, 501, 1600)]
    assert [int(event.fields["number"]) for event in found] == wanted
    assert [event.at for event in found] == [1 + number // 4 for number in wanted]
    assert found[0].id == "1-0"
    assert dict(found[0].fields) == {"type": "x", "number": "0"}


async def test_events_about_nobody(keys: RedisServer) -> None:
    """Those of a bucket as a whole have no user, and are nobody's."""
    user = os.urandom(16)
    with keys.client() as client:
        client.xadd(bucket(user).events, {"type": "x", "bucket": user.hex()})
    redis = RedisClient(keys.url, timing=PATIENTLY)
    assert await events_of(redis, user) == []
    await redis.aclose()
