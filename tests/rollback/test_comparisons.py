"""What a server has that was restored counts with guards once the service has compared it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
import redis
from tools.testbed.issuer import Issuer
from tools.testbed.parts import SIGNING_KEYS
from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import eventually

from service.guard import Verifier
from service.redis.comparisons import Comparisons
from service.redis.keys import numbered, position_of
from service.redis.refusals import FenceUnknown
from tests.guard.feed_writer import AT, new_token
from tests.guard.guards import ISSUER, Guards, says, verdict
from tests.rollback.pod import Opened, Pod, Snapshot, bucket_of, number
from tests.support.looking import ON_VALKEY

pytestmark = ON_VALKEY

COMPARED = numbered(0).compared
TakeSnapshot = Callable[..., Snapshot]


@pytest.fixture
async def guards(keys: RedisServer) -> AsyncIterator[Guards]:
    """Starts guards, and stops them in the end."""
    with Issuer(SIGNING_KEYS) as issuer:
        async with Guards(issuer, keys.url.reveal()) as guards:
            yield guards


def token_of(session: Opened) -> str:
    return new_token(session.user, AT, session.id)


async def compare(comparisons: Comparisons, keys: RedisServer) -> None:
    """Have the service compare now, however short ago it has."""
    with keys.client() as client:
        before = client.xinfo_stream(COMPARED)["last-generated-id"]

        async def is_compared() -> bool:
            await comparisons.look()
            return client.xinfo_stream(COMPARED)["last-generated-id"] != before

        await eventually(is_compared)


async def test_a_guard_that_starts_before_any_pod_has_looked(
    pod: Pod, keys: RedisServer, guards: Guards, snapshot: TakeSnapshot
) -> None:
    """It lets in nobody, in whatever mode it is; then all but those of the bucket that went back,
    and these once that is mended: but for whoever had logged out."""
    marking = pod.rollback.marking(pod.link, ISSUER)
    await marking.mark()
    comparisons = pod.rollback.comparisons(pod.link, ISSUER, on=True)
    await comparisons.look()
    ended, elsewhere = await pod.open(b"\1" * 16), await pod.open(b"\2" * 16)
    neighbour = await pod.open(b"\1" * 15 + b"\2")
    before = snapshot()
    await pod.end(ended)
    await pod.settle()
    before.put_back()
    assert bucket_of(neighbour) == bucket_of(ended)
    modes = {"mode": "strict"}, {"when_lost": "closed"}, {"when_lost": "ask"}
    started = [await guards.start(bound=0.4, **mode) for mode in modes]
    for guard in started:
        for each in (ended, elsewhere, neighbour):
            assert await verdict(guard, token_of(each)) == "unavailable"
    await compare(comparisons, keys)
    for guard in started:
        await eventually(lambda guard=guard: says(guard, token_of(elsewhere), "accepted"))
        for each in (ended, neighbour):
            assert await verdict(guard, token_of(each)) == "unavailable"
    await pod.watch.look()
    await pod.settle()
    await marking.mark()
    for guard in started:
        await eventually(lambda guard=guard: says(guard, token_of(ended), "refused"))
        await eventually(lambda guard=guard: says(guard, token_of(neighbour), "accepted"))


async def test_one_for_all_pods_in_a_time(pod: Pod, keys: RedisServer) -> None:
    """And none by a process that has never heard what there must be; where guards are not to wait,
    it goes."""
    comparisons = pod.rollback.comparisons(pod.link, ISSUER, on=True)
    with keys.client() as client:
        for _ in range(3):
            await comparisons.look()
        assert client.xinfo_stream(COMPARED)["entries-added"] == 1
        client.delete(COMPARED)

        async def unknown() -> list[int]:
            raise FenceUnknown

        await Comparisons(pod.own, ISSUER, unknown).look()
        assert not client.exists(COMPARED)
        await comparisons.look()
        assert client.exists(COMPARED)
        await pod.rollback.comparisons(pod.link, ISSUER, on=False).look()
        assert not client.exists(COMPARED)


async def test_the_mark_of_another_stays(pod: Pod, keys: RedisServer) -> None:
    """Its guards go by it."""
    with keys.client() as client:
        for number, whose in ((1, ISSUER), (2, "https://other.example")):
            client.xadd(numbered(number).issuer, {"iss": whose})

        async def least() -> list[int]:
            return [7] * 64

        client.set(numbered(3).revocations, 7)
        client.xadd(numbered(3).revoked, {"n": 7, "s": b"s" * 12})
        client.xadd(numbered(3).issuer, {"iss": ISSUER})
        await Comparisons(pod.own, ISSUER, least).look()
        assert [client.exists(numbered(number).issuer) for number in (1, 2, 3)] == [0, 1, 1]


def _lose(client: "redis.Redis", lost: str, key: bytes, copy: bytes) -> None:
    """Lose a feed, or the end of it, but not its count."""
    if lost == "emptied":
        client.xtrim(key, maxlen=0, approximate=False)
        return
    client.delete(key)
    if lost == "put back":
        client.restore(key, 0, copy)
    if lost == "overwritten":
        client.set(key, "x")


async def test_a_feed_that_alone_was_lost(pod: Pod, keys: RedisServer, guards: Guards) -> None:
    """Its count is as before, and what is left of it joins without a gap: a guard that starts then
    is to let nobody in who had logged out; and one that has read it goes on."""
    marking = pod.rollback.marking(pod.link, ISSUER)
    await marking.mark()
    comparisons = pod.rollback.comparisons(pod.link, ISSUER, on=True)
    await comparisons.look()
    ways = ["removed", "emptied", "put back", "overwritten"]
    users = [bytes([place]) * 16 for place in range(len(ways))]
    names = [numbered(user[0]) for user in users]
    living = [await pod.open(user) for user in users]
    ended = [await pod.open(user) for user in users * 2]
    with keys.client() as client:
        for each in ended[:4]:
            await pod.end(each)
        copies = [client.dump(it.revoked) for it in names]
        for each in ended[4:]:
            await pod.end(each)
        await pod.settle()
        entries = [client.xrange(it.revoked) for it in names]
        reader = await compare_until(comparisons, asyncio.create_task(guards.start(bound=0.4)))
        for lost, it, copy in zip(ways, names, copies, strict=True):
            _lose(client, lost, it.revoked, copy)
        late = await compare_until(comparisons, asyncio.create_task(guards.start(bound=0.4)))
        await compare(comparisons, keys)
        for guard in (reader, late):
            assert "accepted" not in [await verdict(guard, token_of(each)) for each in ended]
        await pod.watch.look()
        await pod.settle()
        await marking.mark()
        assert [client.xrange(it.revoked) for it in names] == entries
    await compare(comparisons, keys)
    for guard in (reader, late):
        for each in living:
            await eventually(partial(says, guard, token_of(each), "accepted"))
        assert {await verdict(guard, token_of(each)) for each in ended} == {"refused"}
    assert {await pod.lives(each) for each in living} == {True}


async def test_a_count_that_is_none(pod: Pod, keys: RedisServer) -> None:
    """Of another type, or no number that Redis could count on from: it is that of the feed again,
    also where it was 0, and people can log out there."""
    comparisons = pod.rollback.comparisons(pod.link, ISSUER, on=True)
    await comparisons.look()
    junk = ["x", "", "-1", "007", "nan", "inf", "1e3", "9" * 15, "9" * 30, "\udcff", ["x"]]
    users = [bytes([place]) * 16 for place in range(len(junk))]
    ended, living = [[await pod.open(user) for user in users] for _ in range(2)]
    with keys.client() as client:
        for each in ended[1:]:
            await pod.end(each)
        await pod.settle()
        for place, value in enumerate(junk):
            key = numbered(place).revocations
            client.delete(key)
            if isinstance(value, list):
                client.rpush(key, *value)
            else:
                client.set(key, value.encode("utf-8", "surrogateescape"))
        client.delete(COMPARED)
        client.xadd(COMPARED, {"every": "500"}, id=f"{2**64 - 1}-{2**64 - 1}")
        await comparisons.look()
        assert position_of(client.xinfo_stream(COMPARED)["last-generated-id"])[0] < 2**53
        client.delete(COMPARED)
        client.set(COMPARED, "x")
        await comparisons.look()
        counts = [client.get(numbered(place).revocations) for place in range(len(junk))]
        assert counts == [b"0", *[b"1"] * (len(junk) - 1)]
    await pod.watch.look()
    await pod.settle()
    for each in living:
        assert await pod.end(each)
    assert [number(keys, place) for place in range(len(junk))] == [1, *[2] * (len(junk) - 1)]


async def compare_until(comparisons: Comparisons, starting: "asyncio.Task[Verifier]") -> Verifier:
    """Compare again and again, as the service does, until a guard has started."""

    async def has_started() -> bool:
        await comparisons.look()
        return starting.done()

    await eventually(has_started)
    return await starting
