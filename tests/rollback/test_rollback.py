"""A Redis that has gone back: not served from, mended, and nobody else is logged out."""

import argparse
import asyncio
import io
import time
from collections.abc import Awaitable, Callable
from contextlib import redirect_stdout, suppress
from datetime import timedelta
from typing import Literal

import pytest
from redis import exceptions
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from tools.testbed.parts import CLIENT
from tools.testbed.redis_server import RedisServer

from service.cli import redis_options
from service.cli.doctor.rollback import check_rollback
from service.errors import StoreRefuses, StoreUnavailable
from service.redis.event_streams import EventStreams
from service.redis.keys import numbered
from service.redis.refusals import FenceUnknown
from service.rollback.reading import numbers_of
from service.rollback.scripts import settle
from service.settings import Secret, Settings
from service.twofactor.scripts import spend
from tests.rollback.pod import Pod, Snapshot, bucket_of, feed, number, told
from tests.support.user_stores import UserStore

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
    *again, (_, cut_off) = feed(keys, bucket_of(ended))
    assert again == entries
    assert (cut_off[b"n"], cut_off[b"g"]) == (b"2", b"1"), "nobody's session is left"
    assert await pod.lives(await pod.open(ended.user))


async def test_a_number_that_is_given_anew(new_pod: NewPod, keys: RedisServer) -> None:
    """FLUSHALL, and somebody logs out before anybody has noticed: the number is the one that was
    expected. Guards have an end of everybody's all the same, and those of before none to miss."""
    pod, other = await new_pod(), await new_pod()
    ended = await pod.open()
    bucket = bucket_of(ended)
    await pod.end(ended)
    elsewhere = await other.open(bytes([(bucket + 1) % 64]) * 16)
    for each in (pod, other):
        await each.settle()
    with keys.client() as client:
        client.flushall()
    assert await other.end(await other.open(ended.user)) == 1
    at_once = await other.open(ended.user)
    assert number(keys, bucket) == 1
    await other.watch.look()
    assert await other.lives(at_once) == "rollback"
    assert await other.lives(elsewhere) is False
    for each in (pod, other, pod):
        await each.settle()
    assert not await pod.lives(at_once)
    assert await pod.lives(await pod.open(ended.user)) is True
    said = [next(iter(fields.keys() - {b"n", b"t"})) for _, fields in feed(keys, bucket)]
    assert said[0] == b"s"
    assert set(said[1:]) == {b"g"}
    [event] = told(keys, bucket, "redis.wentBack")
    assert (event[b"had"], event[b"cutOff"]) == (b"1", b"true")


async def test_codes_of_that_moment_count_as_used(
    pod: Pod, keys: RedisServer, snapshot: TakeSnapshot
) -> None:
    """A TOTP code that was used since then is not good again; that of the next minute is."""
    await pod.watch.start_serving()
    ended = await pod.open()
    bucket, watermark = bucket_of(ended), numbered(bucket_of(ended)).totp + bytes(16)

    async def counts(step: int) -> bool:
        clock = round(time.time() * 1000)
        used = await spend(
            pod.link, ended.user, CLIENT, watermark_key=watermark, code_step=step, clock=clock
        )
        return bool(used)

    before = snapshot(bucket)
    step = int(time.time() // 30)
    assert await counts(step)
    await pod.end(ended)
    await pod.settle()
    before.put_back()
    await pod.reconnect()
    assert await pod.lives(ended) == "rollback"
    await pod.settle()
    assert [await counts(step), await counts(step + 1)] == [False, False]
    assert await counts(step + 3), "also where a step has begun meanwhile"
    elsewhere = numbered((bucket + 1) % 64).totp + bytes(16)
    with keys.client() as client:
        assert client.pttl(numbered(bucket).totp_floor) == -1, "it is asked for by every code"
        assert not client.exists(elsewhere)


async def test_without_the_user_store(
    new_pod: NewPod, keys: RedisServer, snapshot: TakeSnapshot, engine: AsyncEngine
) -> None:
    """What is known from before counts; a process that has never read the fence serves nobody."""
    pod = await new_pod()
    ended = await pod.open()
    before = snapshot(bucket_of(ended))
    await pod.end(ended)
    await pod.settle()
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE fences RENAME TO elsewhere"))
    new = await new_pod()
    assert await new.lives(ended) == "rollback"
    with pytest.raises(FenceUnknown):
        await new.watch.look()
    await pod.reconnect()
    assert await pod.lives(ended) is False
    before.put_back()
    await pod.reconnect()
    assert await pod.lives(ended) == "rollback"
    with suppress(StoreUnavailable):
        await pod.settle()
    assert await pod.lives(ended) == "rollback"
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE elsewhere RENAME TO fences"))
    await pod.settle()
    await new.watch.look()
    assert await pod.lives(ended) is await new.lives(ended) is False


async def test_buckets_that_a_known_server_gets(pod: Pod, keys: RedisServer) -> None:
    """As a node of a cluster does in a failover, over a connection that was looked at before."""
    session = await pod.open()
    bucket = bucket_of(session)
    await pod.end(await pod.open(session.user))
    await pod.settle()
    with keys.client() as client:
        client.delete(numbered(bucket).revocations)
    assert await pod.lives(session) is True
    (node,) = await pod.own._topology.primaries()
    await pod.rollback.check_buckets(node, [(bucket + 1) % 64])
    assert await pod.lives(session) is True
    await pod.rollback.check_buckets(node, [bucket])
    assert await pod.lives(session) == "rollback"


async def test_a_number_that_lua_cannot_count_on_from(pod: Pod, keys: RedisServer) -> None:
    """One beyond 2^53 is none; and what numbers a feed on to it comes to an end."""
    with keys.client() as client:
        for junk in (2**53, 2**60, 10**30, "1" * 5000):
            client.set(numbered(4).revocations, junk)
            assert (await numbers_of(pod.own))[4] == 0, junk
    names = numbered(3)
    await settle(
        pod.own, events=names.events, before=names.before, revocations=names.revocations,
        revoked=names.revoked, floor=names.totp_floor, tickets=names.ticket_floor, user="", ip="",
        request="", bucket=3, had=0, expected=2**60, replayed=0, cut=1, ahead=1,
    )  # fmt: skip
    with keys.client() as client:
        assert 0 < client.xlen(names.revoked) < 1100


async def test_a_command_that_is_sent_elsewhere(pod: Pod) -> None:
    """Where finding out who serves a bucket has shown that it went back, nothing is sent there."""
    session = await pod.open()
    await pod.end(await pod.open(session.user))
    (node,) = await pod.link._topology.primaries()
    command = "GET", numbered(bucket_of(session)).revocations
    moving = exceptions.TryAgainError()  # whose server is known and connected to
    assert await pod.link._elsewhere(command, False, node, moving) == b"1"
    pod.rollback.fence.close(behind={bucket_of(session)})
    assert node.is_connected
    with pytest.raises(StoreRefuses):
        await pod.link._elsewhere(command, False, node, moving)


async def test_one_bucket_is_served_before_another(pod: Pod, keys: RedisServer) -> None:
    """One that cannot be mended keeps none fenced that is."""
    session = await pod.open()
    other = await pod.open(bytes([bucket_of(session) ^ 1]) + session.user[1:])
    for each in (session, other):
        await pod.end(await pod.open(each.user))
    await pod.settle()
    with keys.client() as client:
        for each in (session, other):
            client.delete(numbered(bucket_of(each)).revocations)
        await pod.watch.look()
        assert await pod.lives(session) == await pod.lives(other) == "rollback"
        assert await pod.replay.run(bucket_of(session), 0, 1)
        await pod.watch.look()
    assert (await pod.lives(other), await pod.lives(session) == "rollback") == ("rollback", False)


async def test_old_events_go_where_others_are_fenced(pod: Pod, keys: RedisServer) -> None:
    """A fence may stand for hours, until an operator accepts; no stream elsewhere fills up."""
    pod.rollback.fence.close(behind={3})
    with keys.client() as client:
        for bucket in (3, 5):
            client.xadd(numbered(bucket).events, {"type": "old"}, id="1-0")
        await EventStreams(pod.link, timedelta(hours=1), lambda _: None)._look_at_all()
        assert [client.xlen(numbered(bucket).events) for bucket in (3, 5)] == [1, 0]


async def test_everybody_is_cut_off_but_where_it_is_fenced(pod: Pod) -> None:
    """Before the operator is told that it could not be done in one bucket, all others are done."""
    pod.rollback.fence.close(behind={3})
    with pytest.raises(StoreRefuses):
        await pod.sessions.cut_offs.everybody(CLIENT, reason="test", by="cli")
    assert pod.rollback.fence.answered == [bucket != 3 for bucket in range(64)]


async def test_an_operator_accepts(
    new_pod: NewPod, keys: RedisServer, snapshot: TakeSnapshot, user_store: UserStore
) -> None:
    """`redis accept` tells what would be done, and with --yes does it; then all is served again.
    The doctor says the same."""
    pod = await new_pod("refuse")
    ended = await pod.open()
    stays = await pod.open(ended.user)
    before = snapshot(bucket_of(ended))
    await pod.end(ended)
    await pod.settle()
    before.put_back()
    await pod.reconnect()
    assert await pod.lives(stays) == "rollback"

    async def accept(*options: str, policy: Literal["refuse", "cutoff"] = "refuse") -> str:
        def run() -> str:
            said = io.StringIO()
            settings = Settings(
                redis_url=keys.url, database_url=Secret(user_store.url), redis_rollback=policy
            )
            parser = argparse.ArgumentParser()
            redis_options.add_to(parser, lambda: settings)
            given = parser.parse_args(["accept", *options])
            with redirect_stdout(said):
                assert given.run(given) == 0
            return said.getvalue()

        return await asyncio.to_thread(run)

    settings = Settings(redis_url=keys.url, redis_rollback="refuse")
    [found] = await check_rollback(settings, user_store.url)
    assert "gone back in time in 1 of 64 buckets" in found.message
    assert "redis accept --yes" in found.advice
    assert "gone back in time in 1 of 64 buckets, by 1 entries" in await accept()
    await pod.watch.look()
    assert await pod.lives(stays) == "rollback"
    assert "1 entries were done again in 1 buckets; 1 sessions" in await accept("--yes")
    await pod.watch.look()
    assert not await pod.lives(ended)
    assert await pod.lives(stays) is True
    assert "has not gone back" in await accept("--yes")
    assert not await check_rollback(settings, user_store.url)
    with keys.client() as client:
        client.decr(numbered(bucket_of(ended)).revocations)
    said = await accept("--yes", policy="cutoff")
    assert "In 1 of them every session has ended." in said


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
