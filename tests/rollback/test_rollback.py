"""A Redis that has gone back: not served from, mended, and nobody else is logged out."""

from collections.abc import Awaitable, Callable

from tools.testbed.redis_server import RedisServer

from tests.rollback.pod import Pod, Snapshot, bucket_of, feed, number, told

TakeSnapshot = Callable[..., Snapshot]
NewPod = Callable[..., Awaitable[Pod]]


async def test_what_was_ended_ends_again(
    pod: Pod, keys: RedisServer, snapshot: TakeSnapshot
) -> None:
    """Restored to before a logout: refused at once, then ended again by its number; others live."""
    ended = await pod.open()
    bucket, user = bucket_of(ended), ended.user
    same_bucket = await pod.open(user)
    elsewhere = await pod.open(bytes([(bucket + 1) % 64]) * 16)
    before = snapshot(bucket)
    assert await pod.end(ended) == 1
    await pod.settle()
    entries = feed(keys, bucket)

    before.put_back()
    await pod.reconnect()
    assert await pod.lives(ended) == "rollback"
    assert await pod.lives(same_bucket) == "rollback"
    assert await pod.lives(elsewhere) is True
    assert "1 of 64 buckets" in pod.rollback.problem

    await pod.settle()
    assert [await pod.lives(each) for each in (ended, same_bucket, elsewhere)] == [
        False,
        True,
        True,
    ]
    assert feed(keys, bucket) == entries
    assert (number(keys, bucket), pod.rollback.problem) == (1, "")
    (event,) = told(keys, bucket, "redis.wentBack")
    assert (event[b"had"], event[b"expected"], event[b"replayed"]) == (b"0", b"1", b"1")
    assert (event[b"bucket"], event[b"cutOff"]) == (b"%d" % bucket, b"false")
    assert pod.rollback.figures()[2] == 1


async def test_what_only_a_pod_remembers(
    new_pod: NewPod, keys: RedisServer, snapshot: TakeSnapshot
) -> None:
    """Back within a second of a 204, before the journal has it: nobody serves, all are cut off."""
    pod, other = await new_pod(), await new_pod()
    ended = await pod.open()
    bucket = bucket_of(ended)
    same_bucket = await pod.open(ended.user)
    elsewhere = await pod.open(bytes([(bucket + 1) % 64]) * 16)
    await other.settle()
    before = snapshot(bucket)
    assert await pod.end(ended) == 1

    before.put_back()
    await pod.reconnect()
    await other.reconnect()
    assert await other.lives(ended) == await pod.lives(ended) == "rollback"

    await other.settle()
    await pod.watch.look()
    for each in (pod, other):
        assert not await each.lives(ended)
        assert not await each.lives(same_bucket)
        assert await each.lives(elsewhere)
    assert await pod.lives(await pod.open(ended.user))
    (entry,) = feed(keys, bucket)
    assert (entry[1][b"n"], entry[1][b"g"]) == (b"1", b"1")
    assert told(keys, bucket, "redis.wentBack")[0][b"cutOff"] == b"true"
    assert told(keys, bucket, "sessions.cutOff")[0][b"reason"] == b"redisWentBack"


async def test_emptied_while_it_is_connected(pod: Pod, keys: RedisServer) -> None:
    """FLUSHALL: the next look fences it; the feed is there again for guards that start now."""
    ended, other = await pod.open(), await pod.open()
    assert await pod.end(ended)
    await pod.settle()
    entries = feed(keys, bucket_of(ended))
    with keys.client() as client:
        client.flushall()
    await pod.watch.look()
    assert await pod.lives(ended) == "rollback"
    await pod.settle()
    assert not await pod.lives(ended)
    assert not await pod.lives(other), "gone with the rest"
    assert feed(keys, bucket_of(ended)) == entries
    assert await pod.lives(await pod.open(ended.user))


async def test_a_first_start_and_a_fence_that_is_lower(pod: Pod, keys: RedisServer) -> None:
    """Neither an empty Redis beside an empty user store, nor one that is ahead, has gone back."""
    await pod.settle()
    session = await pod.open()
    for _ in range(3):
        await pod.end(await pod.open(session.user))
    await pod.reconnect()
    await pod.watch.look()
    assert await pod.lives(session) is True
    assert not told(keys, bucket_of(session), "redis.wentBack")


async def test_the_policies(new_pod: NewPod, keys: RedisServer, snapshot: TakeSnapshot) -> None:
    """`cutoff` ends all in the bucket; `refuse` serves nobody there until somebody replays."""
    for policy in ("cutoff", "refuse"):
        pod = await new_pod(policy)
        ended = await pod.open()
        same_bucket = await pod.open(ended.user)
        before = snapshot(bucket_of(ended))
        assert await pod.end(ended)
        await pod.settle()
        before.put_back()
        await pod.reconnect()
        assert await pod.lives(ended) == "rollback"
        await pod.settle()
        if policy == "refuse":
            assert await pod.lives(same_bucket) == "rollback"
            bucket = bucket_of(ended)
            had = number(keys, bucket)
            assert await pod.replay.run(bucket, had, had + 1)
            await pod.watch.look()
        assert not await pod.lives(ended)
        assert await pod.lives(same_bucket) is (policy == "refuse")
        await pod.store.release()
