"""A guard is told by Redis which streams were written, and reads those: without reads that block.

What it is not told it finds by itself, and where Redis does not tell it, it reads as it did before.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import redis
from redis.crc import key_slot
from tools.testbed.access import GUARD, url_as
from tools.testbed.cluster import Cluster, Node
from tools.testbed.issuer import Issuer
from tools.testbed.parts import Parts
from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import eventually

from service.guard import Verifier
from service.guard.connection import Connection
from service.guard.reading_pace import SHORTEST, ReadingPace
from service.guard.tracked_connection import TrackedConnection
from service.redis.client import RedisClient
from service.redis.keys import BUCKETS, numbered
from service.redis.url import RedisUrl
from service.sessions.token_pair import TokenPair
from tests.guard.feed_writer import USER, FeedWriter, new_token
from tests.guard.guards import Guards, log_out, marked, parts_at, refuses, settled, verdict
from tests.support.looking import ON_VALKEY

NEVER = 600.0
"""A bound after which nothing is confirmed during a test, so that what is seen was pushed."""
STREAM = numbered(0).revoked
FALLEN_BACK = "Redis does not tell this guard what is written"


@contextmanager
def watched(client: "redis.Redis") -> Iterator[list[str]]:
    """Commands from clients, as MONITOR tells them; filled in at the end."""
    seen: list[str] = []
    with client.monitor() as monitor:
        yield seen
        client.echo("that is all")
        for line in monitor.listen():
            if line["command"] == "ECHO that is all":
                return
            seen.append(line["command"])


def feed_reads(commands: list[str]) -> list[str]:
    return [it for it in commands if it.startswith("XREAD ") and "revoked:{" in it]


async def refused(guard: Verifier, *tokens: str) -> None:
    for token in tokens:
        await eventually(lambda token=token: refuses(guard, token))


async def test_an_entry_is_read_as_it_is_told(
    feed: FeedWriter, guards: Guards, keys: RedisServer
) -> None:
    """By one read of that stream alone, which does not block."""
    guard = await guards.start(bound=NEVER)
    session, token = b"a" * 12, new_token(session_id=b"a" * 12)
    assert await settled(guard, token) == "accepted"
    with keys.client() as client, watched(client) as commands:
        feed.end(USER, session)
        await refused(guard, token)
    [read] = feed_reads(commands)
    assert "BLOCK" not in read
    assert read.count("revoked:") == 1


@ON_VALKEY
async def test_a_push_that_is_lost_is_made_up_for(
    feed: FeedWriter, guards: Guards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next confirmation finds the entry, as it would find that there is none."""
    monkeypatch.setattr(TrackedConnection, "_written", lambda *_: None)
    guard = await guards.start(bound=1.0)
    token = new_token(session_id=b"a" * 12)
    assert await settled(guard, token) == "accepted"
    feed.end(USER, b"a" * 12)
    await refused(guard, token)
    assert guard.counters.feed_losses == guard.counters.feed_breaks == 0


async def test_more_than_one_reply_holds(
    feed: FeedWriter, guards: Guards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One push may be about more entries than are read at a time: all of them are."""
    monkeypatch.setattr("service.guard.feed_reader._PAGE", 2 * BUCKETS)
    monkeypatch.setattr(ReadingPace, "rest_after", lambda *_: SHORTEST)
    guard = await guards.start(bound=NEVER)
    sessions = [number.to_bytes(12, "big") for number in range(1, 40)]
    pipeline = feed._client.pipeline()
    for number, session in enumerate(sessions, 1):
        pipeline.xadd(STREAM, {"n": number, "s": session})
    pipeline.incrby(numbered(0).revocations, len(sessions))
    pipeline.execute()
    await refused(guard, *(new_token(session_id=session) for session in sessions))


@pytest.mark.parametrize("emptied_by", ["FLUSHALL", "FLUSHDB"])
async def test_an_emptied_server_is_noticed_at_once(
    feed: FeedWriter, guards: Guards, keys: RedisServer, emptied_by: str
) -> None:
    """And not only when the guard looks next."""
    guard = await guards.start(bound=NEVER)
    token, living = new_token(session_id=b"a" * 12), new_token()
    feed.end(USER, b"a" * 12)
    await refused(guard, token)
    assert await verdict(guard, living) == "accepted"
    with keys.client() as client:
        client.execute_command(emptied_by)
    await eventually(lambda: lost(guard))
    assert await verdict(guard, living) == "unavailable"


async def lost(guard: Verifier) -> bool:
    return guard.feed_lost


@ON_VALKEY
async def test_nothing_falls_between_being_told_and_not(
    feed: FeedWriter, guards: Guards, keys: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a storm a guard has Redis be silent while it rests, and speak again once it is over."""
    rests = random.Random(7)
    monkeypatch.setattr(
        ReadingPace, "rest_after", lambda *_: rests.choice((SHORTEST, 2 * SHORTEST, 0.01))
    )
    guard = await guards.start(bound=NEVER)
    tokens = []
    with keys.client() as client, watched(client) as commands:
        for number in range(1, 300):
            session = number.to_bytes(12, "big")
            feed.end(USER, session)
            tokens.append(new_token(session_id=session))
            if number % 30 == 0:
                await refused(guard, tokens[-1])
            await asyncio.sleep(rests.choice((0, 0.001, 0.003, 0.015)))
        await refused(guard, *tokens)
    said = [it for it in commands if it.startswith("CLIENT TRACKING")]
    assert said[:2] == ["CLIENT TRACKING OFF", "CLIENT TRACKING ON BCAST PREFIX revoked:{"]
    assert not [it for it in feed_reads(commands) if "BLOCK" in it]
    assert guard.counters.feed_breaks == 0


# --- Where Redis does not tell -------------------------------------------------------------------


@contextmanager
def guards_without(client: "redis.Redis") -> Iterator[str]:
    """The name of a user who may do what a guard could before it was told what is written."""
    rules = ["+xread", "+set", "+del", "+hset", "~revoked:*", "~guard:*"]
    client.execute_command("ACL", "SETUSER", "old", "reset", "on", ">s", *rules)
    yield "old:s"
    client.execute_command("ACL", "DELUSER", "old")


@ON_VALKEY
async def test_without_the_right_it_waits_as_before(
    feed: FeedWriter, guards: Guards, keys: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It asks once a minute at the most, also where it connects anew, and says so once."""
    caplog.set_level("INFO", "openshow_auth.guard")
    with keys.client() as client, guards_without(client) as user:
        url = keys.url.reveal().replace("://", f"://{user}@")
        guard = await guards.start(bound=NEVER, redis_url=url)
        for number in range(1, 4):
            session = number.to_bytes(12, "big")
            with watched(client) as commands:
                feed.end(USER, session)
                await refused(guard, new_token(session_id=session))
                await eventually(lambda: waits_for_feed_and_wishes(client))
            assert "BLOCK" in feed_reads(commands)[-1]
            breaks = guard.counters.feed_breaks
            client.execute_command("CLIENT", "KILL", "USER", "old")
            await eventually(lambda breaks=breaks: has_broken(guard, breaks))
        refusals = [it for it in client.acl_log() if it["username"] == "old"]
        assert [(it["object"], it["count"]) for it in refusals] == [("client|tracking", 1)]
        assert caplog.text.count(FALLEN_BACK) == 1
        await guards.aclose()


async def waits_for_feed_and_wishes(client: "redis.Redis") -> bool:
    return client.info("clients")["blocked_clients"] == 2


async def has_broken(guard: Verifier, before: int) -> bool:
    return guard.counters.feed_breaks > before


@pytest.mark.parametrize("answer", [b"-ERR unknown command\r\n" * 2, None], ids=["no", "an end"])
async def test_a_server_of_before(keys: RedisServer, issuer: Issuer, answer: bytes | None) -> None:
    """It knows no other protocol: all is read as before.

    A proxy that ends on what it does not know is asked twice, as any connection may break.
    """
    hellos = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal hellos
        path = keys.url.reveal().removeprefix("unix://")
        there, back = await asyncio.open_unix_connection(path)

        async def return_() -> None:
            while data := await there.read(65536):
                writer.write(data)

        returning = asyncio.create_task(return_())
        with suppress(OSError):
            while data := await reader.read(65536):
                if b"HELLO" not in data:
                    back.write(data)
                    continue
                hellos += 1
                if answer is None:
                    break
                writer.write(answer)
        for each in (back, writer):
            each.close()
        await returning

    proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
    await reads_as_before(keys, issuer, url)
    proxy.close()
    assert hellos == (2 if answer is None else 1)


async def reads_as_before(server: RedisServer, issuer: Issuer, url: str) -> None:
    """A guard sees an entry, and tracks nothing."""
    link = RedisClient(server.url)
    with server.client() as client:
        async with marked(link), Guards(issuer, url) as guards:
            feed, guard = FeedWriter(client), await guards.start(bound=NEVER)
            token = new_token(session_id=b"a" * 12)
            assert await settled(guard, token) == "accepted"
            feed.end(USER, b"a" * 12)
            await refused(guard, token)
            assert client.info("clients")["tracking_clients"] == 0
    await link.aclose()


# --- A connection that several share -------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster")).start()
    for node in cluster.nodes:
        with node.client() as client:
            client.execute_command("ACL", "SETUSER", GUARD, "+client|tracking")
    yield cluster
    cluster.stop()


@pytest.fixture
async def parts_there(cluster: Cluster) -> AsyncIterator[Parts]:
    async with parts_at(cluster.url) as parts:
        yield parts


@pytest.fixture
async def there(cluster: Cluster, issuer: Issuer) -> AsyncIterator[Guards]:
    async with Guards(issuer, url_as(GUARD, cluster.url).reveal()) as guards:
        yield guards


def of_guards(cluster: Cluster) -> list[list[dict[str, str]]]:
    """The connections of guards at each node."""
    found = []
    for node in cluster.nodes:
        with node.client() as client:
            found.append([it for it in client.client_list() if it["user"] == GUARD])
    return found


async def has_one_each(cluster: Cluster) -> bool:
    """One tracks the feeds at each primary, one has the map, and one in all the report."""
    lists = of_guards(cluster)
    tracking = [sum("t" in it["flags"] for it in each) for each in lists]
    return tracking == [1] * 3 and sum(map(len, lists)) == 3 + 3 + 1


async def test_one_connection_for_each_primary(
    cluster: Cluster, parts_there: Parts, there: Guards
) -> None:
    """Entries of all buckets come by it, also those written at once; a break is everybody's."""
    guard = await there.start(bound=NEVER)
    await eventually(lambda: has_one_each(cluster))
    for _ in range(2):
        users = [bytes((number,)) * 16 for number in range(BUCKETS)]
        pairs = [await parts_there.open(user) for user in users]
        await asyncio.gather(*(log_out(parts_there, pair) for pair in pairs))
        await refused(guard, *(pair.access_token for pair in pairs))
        breaks = guard.counters.feed_breaks
        for node in cluster.nodes:
            with node.client() as client:
                client.execute_command("CLIENT", "KILL", "USER", GUARD)
        await eventually(lambda breaks=breaks: has_broken(guard, breaks))
        await eventually(lambda: has_one_each(cluster))
    assert guard.counters.feed_losses == 0


@pytest.mark.parametrize("takes_time", [False, True], ids=["at once", "key by key"])
async def test_a_slot_that_moves_is_read_over_its_new_node(
    cluster: Cluster, parts_there: Parts, there: Guards, takes_time: bool
) -> None:
    """Over a connection of its own until the slot is there, and over that of the others then."""
    guard = await there.start(bound=1.0)
    await eventually(lambda: has_one_each(cluster))
    slot = key_slot(STREAM)
    source = cluster.owner(slot)
    to = next(node for node in cluster.nodes if source is not node)
    pairs: list[TokenPair] = [await parts_there.open(USER) for _ in range(3)]
    await log_out(parts_there, pairs[0])
    if takes_time:
        with source.client() as client:
            client.xadd(numbered(0).asked, {"pause": 1})  # else it is TRYAGAIN to wait for both
            to.cluster("SETSLOT", slot, "IMPORTING", source.id)
            source.cluster("SETSLOT", slot, "MIGRATING", to.id)
            keys = client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100)
            client.migrate("127.0.0.1", to.port, keys, 0, 5000)
        await eventually(lambda: waits_at(cluster, to))
        for node in (to, source):
            node.cluster("SETSLOT", slot, "NODE", to.id)
    else:
        await asyncio.to_thread(cluster.move, slot, to)
    for pair in pairs[1:]:
        await eventually(lambda pair=pair: ended(parts_there, pair))
        await refused(guard, pair.access_token)
        await eventually(lambda: has_one_each(cluster))
    assert guard.counters.feed_losses == 0


async def waits_at(cluster: Cluster, node: Node) -> bool:
    """Whether a read of the guard blocks there."""
    return any("b" in it["flags"] for it in of_guards(cluster)[cluster.nodes.index(node)])


async def ended(parts: Parts, pair: TokenPair) -> bool:
    await log_out(parts, pair)
    return True


async def test_questions_of_several_are_answered_in_turn(keys: RedisServer) -> None:
    """Also where a push comes between, and one is given up; a break is told to all."""
    url = RedisUrl.parse(keys.url.reveal())
    wire = await Connection.to(url, None, 60.0)
    tracked = await TrackedConnection.over(wire, (b"revoked:{",), 60.0)
    assert tracked is not None
    readers = [tracked.join([numbered(n).revoked], alone=False) for n in range(3)]
    with keys.client() as client:
        client.xadd(STREAM, {"n": 1})
        client.expire(STREAM, 60)

    async def ask(number: int) -> Any:
        [found] = await tracked_exchange(tracked, b"*2\r\n$4\r\nECHO\r\n$1\r\n%d\r\n" % number)
        return found

    asked = [asyncio.create_task(ask(number)) for number in range(5)]
    await asyncio.sleep(0)
    asked[2].cancel()
    replies = await asyncio.gather(*asked, return_exceptions=True)
    assert [it for it in replies if isinstance(it, bytes)] == [b"0", b"1", b"3", b"4"]
    for reader in readers:
        reader.follow([(numbered(5).revoked, b"0-0")], 1)
    loop = asyncio.get_running_loop()
    waiting = [asyncio.create_task(it.next(loop.time() + NEVER, 0)) for it in readers]
    await asyncio.sleep(0)
    with keys.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(end) for end in ends] == [redis.exceptions.ConnectionError] * 3
    for reader in readers:
        await reader.close()


async def tracked_exchange(tracked: TrackedConnection, command: bytes) -> list[Any]:
    waiting: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
    tracked.exchange(command, 1, waiting)
    return await waiting
