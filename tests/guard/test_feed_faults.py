"""The feed under faults: it is resumed, or counts as lost. Never a silent gap."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from tools.testbed.issuer import Issuer
from tools.testbed.parts import Parts
from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import eventually

from service.embedded.files import find_binary
from service.errors import StoreUnavailable
from service.guard import Verifier
from service.redis.keys import bucket
from tests.guard.guards import Guards, log_out, parts_at, refuses, settled, verdict
from tests.support.looking import ON_VALKEY

USER, OTHER = bytes(16), b"\1" * 16
STREAM = bucket(USER).revoked
BOUND = timedelta(seconds=1)


class Leash:
    """A Redis user for guards, who may read the feed and ask for sessions, or nothing at all."""

    def __init__(self, server: RedisServer, *more: str) -> None:
        self._server = server
        path = server.url.reveal().removeprefix("unix://")
        self.url = f"unix://guard:secret@{path}"
        with server.client() as client:
            client.execute_command(
                "ACL", "SETUSER", "guard", "reset", "on", ">secret",
                "+xread", "+get", "+hexists", "~revoked:*", "~sessions:*", *more,
            )  # fmt: skip

    @contextmanager
    def guards_kept_away(self) -> Iterator["redis.Redis"]:
        """No guard gets in. A client for what happens meanwhile."""
        with self._server.client() as client:
            client.execute_command("ACL", "SETUSER", "guard", "off")
            client.execute_command("CLIENT", "KILL", "USER", "guard")
            yield client
            client.execute_command("ACL", "SETUSER", "guard", "on")

    def remove(self) -> None:
        with self._server.client() as client:
            client.execute_command("ACL", "DELUSER", "guard")


@pytest.fixture(params=[["+client|tracking"], []], ids=["told", "waiting"])
def leash(keys: RedisServer, request: pytest.FixtureRequest) -> Iterator[Leash]:
    """Guards are told by Redis what is written, or wait by reads that block."""
    leash = Leash(keys, *request.param)
    yield leash
    leash.remove()


@pytest.fixture
async def own_server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A server of this test's own, which has not started."""
    server = RedisServer(find_binary(), tmp_path)
    yield server
    server.stop()


@pytest.fixture
async def own_guards(own_server: RedisServer, issuer: Issuer) -> AsyncIterator[Guards]:
    async with Guards(issuer, own_server.url.reveal()) as guards:
        yield guards


@pytest.fixture
async def own_parts(own_server: RedisServer) -> AsyncIterator[Parts]:
    async with parts_at(own_server.url) as parts:
        yield parts


async def becomes(guard: Verifier, token: str, wanted: str, before: str = "") -> None:
    """Wait for a verdict. Until then it is `before`, or `unavailable`."""
    patience = time.monotonic() + 20
    while (told := await verdict(guard, token)) != wanted:
        assert told in (before, "unavailable")
        assert time.monotonic() < patience, told
        await asyncio.sleep(0.01)


async def lost(guard: Verifier) -> bool:
    return guard.feed_lost


async def resumed(guard: Verifier) -> bool:
    return not guard.feed_lost


async def reconnected(parts: Parts) -> bool:
    """Whether the service's own link has noticed that the server is back."""
    try:
        await parts.open()
    except StoreUnavailable:
        return False
    return True


@ON_VALKEY
async def test_a_broken_connection(parts: Parts, guards: Guards, leash: Leash) -> None:
    """Cut by the server, again and again, while sessions end: each end is seen, none is lost."""
    guard = await guards.start(redis_url=leash.url, bound=BOUND)
    living = await parts.open(USER)
    for _ in range(10):
        pair = await parts.open(USER)
        assert await verdict(guard, pair.access_token) != "refused"
        with leash.guards_kept_away():
            await log_out(parts, pair)
        await becomes(guard, pair.access_token, "refused", "accepted")
    await becomes(guard, living.access_token, "accepted")
    assert guard.counters.feed_breaks >= 10
    assert guard.counters.feed_losses == 0


@ON_VALKEY
@pytest.mark.parametrize("when_lost", ["closed", "ask", "serve"])
async def test_kept_away_and_back(
    parts: Parts, guards: Guards, leash: Leash, when_lost: str
) -> None:
    """What ends meanwhile is refused as soon as the guard is back; nothing is lost."""
    guard = await guards.start(redis_url=leash.url, bound=BOUND, when_lost=when_lost)
    before, meanwhile, living = [await parts.open(USER) for _ in range(3)]
    await log_out(parts, before)
    await becomes(guard, before.access_token, "refused", "accepted")
    while_away = {"closed": "unavailable", "ask": "unavailable", "serve": "accepted"}[when_lost]
    with leash.guards_kept_away():
        await log_out(parts, meanwhile)
        await eventually(lambda: lost(guard))
        await becomes(guard, living.access_token, while_away, "accepted")
        assert await refuses(guard, before.access_token)
    await becomes(guard, meanwhile.access_token, "refused", while_away)
    await becomes(guard, living.access_token, "accepted")
    await eventually(lambda: resumed(guard))
    assert guard.counters.feed_losses == 0
    assert bool(guard.counters.served_stale) == (when_lost == "serve")


Fault = Callable[["redis.Redis"], object]

FAULTS: dict[str, Fault] = {
    "trimmed past its position": lambda client: client.xtrim(STREAM, maxlen=1, approximate=False),
    "an entry deleted": lambda client: client.xdel(STREAM, client.xrange(STREAM)[-2][0]),
    "all entries deleted": lambda client: client.xtrim(STREAM, maxlen=0, approximate=False),
    "the stream deleted": lambda client: client.delete(STREAM),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("when_lost", ["closed", "ask", "serve"])
@ON_VALKEY
async def test_entries_that_are_gone(
    parts: Parts, guards: Guards, leash: Leash, fault: Fault, when_lost: str
) -> None:
    """A session ends while the guard is away, and its entry is gone when it is back: lost."""
    guard = await guards.start(redis_url=leash.url, bound=BOUND, when_lost=when_lost)
    before, unseen, later, living = [await parts.open(USER) for _ in range(4)]
    elsewhere = await parts.open(OTHER)
    await log_out(parts, before)
    await becomes(guard, before.access_token, "refused", "accepted")
    with leash.guards_kept_away() as client:
        await log_out(parts, unseen)
        await log_out(parts, later)
        fault(client)

    async def noticed() -> bool:
        return guard.counters.feed_losses > 0

    await eventually(noticed)
    told = {
        "closed": ("unavailable", "unavailable"),
        "ask": ("refused", "accepted"),
        "serve": ("accepted", "accepted"),
    }
    assert await verdict(guard, unseen.access_token) == told[when_lost][0]
    assert await verdict(guard, living.access_token) == told[when_lost][1]
    assert await refuses(guard, before.access_token)
    if client.exists(STREAM) and client.xlen(STREAM):
        assert await refuses(guard, later.access_token)
        await becomes(guard, elsewhere.access_token, "accepted")  # its stream is whole
    again = await parts.open(USER)
    await log_out(parts, again)  # what comes later is seen, lost or not
    await becomes(guard, again.access_token, "refused", told[when_lost][1])
    assert guard.feed_lost


@pytest.mark.parametrize("when_lost", ["closed", "ask", "serve"])
async def test_a_flushed_server(
    parts: Parts, guards: Guards, keys: RedisServer, when_lost: str
) -> None:
    """FLUSHALL, with the connection up: all is lost, in each bucket; what was refused stays so."""
    guard = await guards.start(bound=BOUND, when_lost=when_lost)
    before, other = await parts.open(USER), await parts.open(OTHER)
    await log_out(parts, before)
    await becomes(guard, before.access_token, "refused", "accepted")
    with keys.client() as client:
        client.flushall()

    async def noticed() -> bool:
        return guard.counters.feed_losses > 0

    await eventually(noticed)
    told = {"closed": "unavailable", "ask": "refused", "serve": "accepted"}[when_lost]
    says = settled if when_lost == "ask" else verdict  # which asks once the mark is back
    assert await says(guard, other.access_token) == told
    again = await parts.open(USER)
    await log_out(parts, again)
    await becomes(guard, again.access_token, "refused", "accepted")
    assert await refuses(guard, before.access_token)
    assert guard.feed_lost


async def test_a_server_that_restarts(
    own_server: RedisServer, own_parts: Parts, own_guards: Guards
) -> None:
    """Killed and started on its data: the feed is resumed, and what was refused stays refused."""
    own_server.start()
    guard = await own_guards.start(bound=BOUND)
    ask = await own_guards.start(bound=BOUND, when_lost="ask")
    strict = await own_guards.start(mode="strict")
    offline = await own_guards.start(mode="offline", redis_url="")
    before, pair, living = [await own_parts.open(USER) for _ in range(3)]
    await log_out(own_parts, before)
    for each in (guard, ask, strict):
        await becomes(each, before.access_token, "refused", "accepted")
    own_server.kill()
    for each in (guard, ask, strict):
        await becomes(each, living.access_token, "unavailable", "accepted")
        assert await refuses(each, before.access_token)
    assert await settled(offline, living.access_token) == "accepted"
    own_server.start()
    for each in (guard, ask, strict):
        await becomes(each, living.access_token, "accepted")
    await eventually(lambda: reconnected(own_parts))
    await log_out(own_parts, pair)
    for each in (guard, ask, strict):
        await becomes(each, pair.access_token, "refused", "accepted")
        assert await refuses(each, before.access_token)
    assert guard.counters.feed_losses == ask.counters.feed_losses == 0
    assert strict.counters.asked > 2
    assert offline.counters.asked == 0


async def test_a_server_that_has_lost_its_tail(
    own_server: RedisServer, own_parts: Parts, own_guards: Guards
) -> None:
    """The append-only file is cut: what the guard had seen stays refused, and it reads on."""
    own_server.start()
    guard = await own_guards.start(bound=BOUND)
    strict = await own_guards.start(mode="strict")
    first, lost, living = [await own_parts.open(USER) for _ in range(3)]
    await log_out(own_parts, first)
    (journal,) = [path for path in own_server.files() if path.name.endswith(".incr.aof")]
    kept = journal.stat().st_size
    await log_out(own_parts, lost)
    for pair in (first, lost):
        await becomes(guard, pair.access_token, "refused", "accepted")
        await becomes(strict, pair.access_token, "refused")
    own_server.kill()
    with journal.open("r+b") as file:
        file.truncate(kept)
    own_server.start()
    await eventually(lambda: reconnected(own_parts))
    later = await own_parts.open(USER)  # Redis knows nothing of the second logout, and counts on
    await log_out(own_parts, later)
    await becomes(guard, later.access_token, "refused", "accepted")
    await becomes(guard, living.access_token, "accepted")
    for pair in (first, lost):
        assert await refuses(guard, pair.access_token)
        assert await refuses(strict, pair.access_token)
    assert guard.counters.feed_rereads >= 1
    assert guard.counters.feed_losses == 0


async def test_starting_before_redis_and_the_issuer(
    own_server: RedisServer, own_parts: Parts, own_guards: Guards, issuer: Issuer
) -> None:
    """It comes up, lets nobody in, and goes to work as soon as both are there."""
    own_server.start()
    ended, living = await own_parts.open(USER), await own_parts.open(USER)
    await log_out(own_parts, ended)
    own_server.stop()
    issuer.stop()
    guard = await own_guards.start(bound=BOUND, jwks_floor=timedelta(seconds=0.1))
    assert await verdict(guard, living.access_token) == "unavailable"
    assert await refuses(guard, "x.y.z")
    issuer.start()
    await asyncio.sleep(0)
    assert await verdict(guard, ended.access_token) == "unavailable"
    own_server.start()
    await becomes(guard, living.access_token, "accepted")
    await becomes(guard, ended.access_token, "refused")


async def test_a_server_that_hangs(
    own_server: RedisServer, own_parts: Parts, own_guards: Guards
) -> None:
    """It keeps the connection and says nothing: noticed within the bound, over with the hang."""
    own_server.start()
    guard = await own_guards.start(bound=BOUND)
    pair = await own_parts.open(USER)
    await becomes(guard, pair.access_token, "accepted")
    own_server.freeze()
    known_until = min(shard.known_until for shard in guard._shards)
    await becomes(guard, pair.access_token, "unavailable", "accepted")
    assert time.monotonic() >= known_until, "no sooner than need be"
    own_server.resume()
    await becomes(guard, pair.access_token, "accepted")
    await eventually(lambda: reconnected(own_parts))
    await log_out(own_parts, pair)
    await becomes(guard, pair.access_token, "refused", "accepted")
