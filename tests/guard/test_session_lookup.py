"""What a guard asks Redis: for each check in `strict`, and with `ask` while the feed is lost."""

import logging
from collections.abc import Sequence
from typing import Any

import pytest
from tools.testbed.access import ASKING_GUARD
from tools.testbed.redis_server import RedisServer

from service.guard import Verifier
from service.guard.connection import Command, Connection
from service.guard.discovery import PrimaryDiscovery
from service.guard.errors import GuardUnavailable
from service.guard.marks import Marks
from service.guard.rate_limited_log import RateLimitedLog
from service.guard.session_lookup import SessionLookup
from service.redis.keys import bucket, bucket_number
from service.redis.url import Address, RedisUrl
from tests.guard.feed_writer import AT, OTHER, USER, FeedWriter, new_token
from tests.guard.guards import ISSUER, Guards, settled, verdict
from tests.support.looking import ON_VALKEY, watching
from tests.support.run_queue import Stopwatch

pytestmark = ON_VALKEY
IDS = [bytes((number,)) * 12 for number in range(4)]
SESSION = IDS[0]


@pytest.fixture(autouse=True)
def living(keys: RedisServer, feed: FeedWriter) -> None:
    """Sessions of each user, which are in their index."""
    with keys.client() as client:
        for user_id in (USER, OTHER):
            key = bucket(user_id).index + user_id
            client.hset(key, mapping=dict.fromkeys(IDS, bytes(16)))
            client.expire(key, 60)


async def start(guards: Guards, feed: FeedWriter, how: str, **more: Any) -> Verifier:
    """Start a guard that has to ask."""
    if how == "strict":
        return await guards.start(mode="strict", **more)
    for user_id in (USER, OTHER):
        feed.add(user_id, "of a later service", "1")
    return await guards.start(when_lost="ask", **more)


@pytest.mark.parametrize("how", ["strict", "ask"])
async def test_a_cut_off_of_everybody(
    keys: RedisServer, feed: FeedWriter, guards: Guards, how: str
) -> None:
    """Ends what was opened by then, to the millisecond, in its bucket alone; and for good."""
    guard = await start(guards, feed, how)
    older, same, later = [new_token(USER, AT + more, IDS[more]) for more in (-1, 0, 1)]
    other = new_token(OTHER, AT - 1, SESSION)
    before = new_token(USER, None, IDS[2], auth_time=AT // 1000)
    for token in (older, same, later, other, before):
        assert await settled(guard, token) == "accepted"
    with keys.client() as client:
        client.set(bucket(USER).before, AT)
        assert await settled(guard, later) == "accepted"
        assert await settled(guard, other) == "accepted"
        told = [await verdict(guard, token) for token in (older, same, before)]
        assert told == ["refused"] * 3
        client.delete(bucket(USER).before)
        assert await verdict(guard, older) == "refused"


@pytest.mark.parametrize("wrong", ["", "now", "-1", "1.5", "1" * 17, "9" * 5000])
async def test_a_cut_off_that_is_no_time(
    keys: RedisServer, feed: FeedWriter, guards: Guards, wrong: str
) -> None:
    """Nobody can tell whom it ends."""
    guard = await start(guards, feed, "strict")
    with keys.client() as client:
        client.set(bucket(USER).before, wrong)
    assert await verdict(guard, new_token(USER, AT, SESSION)) == "unavailable"
    assert await settled(guard, new_token(OTHER, AT, SESSION)) == "accepted"


async def test_both_are_asked_for_in_one_write(
    keys: RedisServer, feed: FeedWriter, guards: Guards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a check in `strict` takes one round trip, as before there were cut-offs."""
    guard, token = await start(guards, feed, "strict"), new_token(USER, AT, SESSION)
    assert await settled(guard, token) == "accepted"
    writes = list[Sequence[Any]]()
    ask_all = Connection.ask_all

    async def counted(self: Connection, commands: Sequence[Any], **more: Any) -> Any:
        writes.append(commands)
        return await ask_all(self, commands, **more)

    monkeypatch.setattr(Connection, "ask_all", counted)
    with watching(keys) as seen:
        assert await settled(guard, token) == "accepted"
    assert [name.upper() for name in seen.from_clients] == ["HEXISTS", "GET"]
    assert len(writes) == 1


@pytest.mark.parametrize("lacking", ["+get", "+hexists"])
async def test_a_user_without_the_right(
    keys: RedisServer,
    feed: FeedWriter,
    guards: Guards,
    caplog: pytest.LogCaptureFixture,
    lacking: str,
) -> None:
    """Lets nobody in, and the log says once which right it is."""
    with keys.client() as client:
        user = "guard-of-before"
        client.execute_command(
            "ACL", "SETUSER", user, "on", ">secret", "~revoked:*", "~sessions:*",
            *{"+xread", "+get", "+hexists"} - {lacking},
        )  # fmt: skip
        try:
            url = keys.url_of(ASKING_GUARD).reveal()
            url = f"unix://{user}:secret@{url.rpartition('@')[2]}"
            guard = await start(guards, feed, "strict", redis_url=url)
            since = Stopwatch()
            for _ in range(3):
                assert await verdict(guard, new_token(USER, AT, SESSION)) == "unavailable"
            assert since.own < 2, "at once"
        finally:
            client.execute_command("ACL", "DELUSER", user)
    (told,) = [it for it in caplog.records if "needs" in it.getMessage()]
    assert told.levelno == logging.ERROR
    assert f"{lacking}, as openshow-guard-asking has it in redis.conf" in told.getMessage()


async def test_a_no_of_a_server_that_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mark is that of the server that has said no, though the map names another one by then."""
    foreign, ours = ("foreign", 1), ("ours", 2)
    found = iter([foreign, *[ours] * 20])
    asked: list[Any] = []

    async def find(_: SessionLookup, number: int) -> Address:
        return next(found)

    async def exchange(
        _: SessionLookup, number: int, place: Any, commands: Sequence[Command]
    ) -> list[Any]:
        asked.append((place[0], commands[0][0]))
        if commands[0][0] == "HEXISTS":
            return [0, None]
        if commands[0][-2] == bucket(USER).compared:  # nobody compares there
            asked.pop()
            return [None]
        mark = [(b"1-0", [b"iss", ISSUER.encode()])]
        return [[(b"mark", mark)] if place[0] == ours else None]

    monkeypatch.setattr(SessionLookup, "_find", find)
    monkeypatch.setattr(SessionLookup, "_exchange", exchange)
    url = RedisUrl.parse("redis+cluster://foreign:1,ours:2")
    lookup = SessionLookup(url, 1, 1, Marks(ISSUER, RateLimitedLog()))
    with pytest.raises(GuardUnavailable):
        await lookup.lives(0, USER, SESSION, AT)
    assert asked == [(foreign, "HEXISTS"), (foreign, "XREAD")]
    assert await lookup.lives(0, USER, SESSION, AT) is False, "of the one that is ours"


async def test_a_server_that_sentinels_name_anew_is_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where no connection to the one before it has broken."""
    named, compared = iter([("old", 1), ("new", 2), ("new", 2)]), iter([b"5-0", b"6-0"])
    looked: list[Any] = []

    async def find(_: PrimaryDiscovery, number: int) -> Address:
        return next(named)

    async def exchange(
        _: SessionLookup, number: int, place: Any, commands: Sequence[Command]
    ) -> list[Any]:
        if commands[0][0] == "HEXISTS":
            return [1, None]
        if commands[0][-2] == bucket(USER).issuer:
            return [[(b"mark", [(b"1-0", [b"iss", ISSUER.encode()])])]]
        looked.append(place[0])
        return [None if place[0] == ("old", 1) else [(b"compared", [(next(compared), [])])]]

    monkeypatch.setattr(PrimaryDiscovery, "find", find)
    monkeypatch.setattr(SessionLookup, "_exchange", exchange)
    url = RedisUrl.parse("redis+sentinel://one:1,two:2,three:3/name")
    lookup = SessionLookup(url, 1, -1, Marks(ISSUER, RateLimitedLog()))
    for _ in range(3):
        assert await lookup.lives(bucket_number(USER), USER, SESSION, AT)
    assert looked == [("old", 1), ("new", 2), ("new", 2)]
