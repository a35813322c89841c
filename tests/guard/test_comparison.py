"""A guard trusts a server that it has connected to once the service has compared it since."""

import asyncio
from contextlib import suppress

from redis import Redis
from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import eventually

from service.guard.comparison import Comparison
from service.redis.keys import numbered
from tests.guard.feed_writer import USER, FeedWriter, new_token
from tests.guard.guards import Guards, says, verdict, waits_for_more
from tests.support.looking import ON_VALKEY

COMPARED = numbered(0).compared


def test_it_must_be_later_than_the_first_that_was_seen() -> None:
    """Not another one only: a copy has an earlier one. Where there is none, none is waited for."""
    comparison = Comparison()
    for id_ in (b"1000-0", b"999-5", b"1000-0"):
        comparison.look([(id_, [])])
        assert not comparison.is_made
    comparison.look([(b"1000-10", [])])
    assert comparison.is_made
    without = Comparison()
    without.look([])
    assert without.is_made


def compare(client: "Redis") -> None:
    client.xadd(COMPARED, {"every": 500}, maxlen=1, approximate=False)


@ON_VALKEY
async def test_a_start_ends_with_the_next_comparison(
    feed: FeedWriter, guards: Guards, keys: RedisServer
) -> None:
    """Not with the next look at all that there is, which may be long after."""
    with keys.client() as client:
        compare(client)
        starting = asyncio.create_task(guards.start(bound=10_000))

        async def has_started() -> bool:
            compare(client)
            return starting.done()

        await eventually(has_started)
        assert await verdict(await starting, new_token()) == "accepted"


@ON_VALKEY
async def test_each_connection_wants_one(
    feed: FeedWriter, guards: Guards, keys: RedisServer
) -> None:
    """What was known counts for its bound, and who had ended stays refused."""
    ended, living = new_token(session_id=b"s" * 12), new_token()
    with keys.client() as client:
        guard = await guards.start(bound=0.4)
        feed.end(USER, b"s" * 12)
        await eventually(lambda: says(guard, ended, "refused"))
        await eventually(lambda: says(guard, living, "accepted"))
        compare(client)
        for each in client.client_list():
            if each["cmd"] == "xread":
                with suppress(Exception):
                    client.client_kill_filter(_id=each["id"])
        await eventually(lambda: says(guard, living, "unavailable"))
        assert await verdict(guard, ended) == "refused"
        compare(client)
        await eventually(lambda: says(guard, living, "accepted"))
        assert await verdict(guard, ended) == "refused"


@ON_VALKEY
async def test_so_does_one_after_a_refusal(
    feed: FeedWriter, guards: Guards, keys: RedisServer
) -> None:
    """The guard has hung up after it, and the server may have been restored since."""
    token, no_stream = new_token(), numbered(5).revoked
    with keys.client() as client:
        guard = await guards.start(bound=0.4)
        assert await verdict(guard, token) == "accepted"
        compare(client)
        client.set(no_stream, "x")
        await eventually(lambda: says(guard, token, "unavailable"))
        client.delete(no_stream)

        await eventually(lambda: waits_for_more(client))
        assert await verdict(guard, token) == "unavailable"
        compare(client)
        await eventually(lambda: says(guard, token, "accepted"))
