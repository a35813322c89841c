"""One process writes the journal; what is in it; what is done again when a Redis has gone back."""

import os
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from tools.testbed.parts import CLIENT
from tools.testbed.redis_server import RedisServer

from service.errors import StoreUnavailable
from service.redis.keys import numbered
from service.rollback import scripts
from service.rollback.entries import Batch, Entry
from service.rollback.store import LEASE
from tests.rollback.pod import Pod, Snapshot, bucket_of, feed, number, told
from tests.support.log_state import captured

NewPod = Callable[..., Awaitable[Pod]]
TakeSnapshot = Callable[..., Snapshot]


async def entries(pod: Pod, bucket: int, after: int = 0) -> list[Entry]:
    """What the journal has of a bucket."""
    return [entry async for batch in pod.store.after(bucket, after) for entry in batch.entries]


async def test_every_kind_is_kept_with_its_user(pod: Pod, keys: RedisServer) -> None:
    """However a session ends: by its user, by a limit, with all others, with everybody's."""
    first = await pod.open()
    bucket = bucket_of(first)
    kept, other = await pod.open(first.user), await pod.open(first.user)
    await pod.end(first)
    ended = await pod.sessions.cut_offs.end_all(first.user, CLIENT, reason="all", keep=kept.id)
    assert ended == 1
    await pod.sessions.cut_offs.everybody(CLIENT, reason="test", by="cli")
    assert not await pod.lives(other)
    await pod.settle()
    said = feed(keys, bucket)
    assert await entries(pod, bucket) == [
        Entry(1, said[0][0].decode(), "s", first.user, first.id),
        Entry(2, said[1][0].decode(), "u", first.user, kept.id, int(said[1][1][b"t"])),
        Entry(3, said[2][0].decode(), "g", b"", b"", int(said[2][1][b"t"])),
    ]
    assert (await pod.store.numbers())[bucket] == 3
    assert pod.journal.lag < 60


async def test_where_the_event_is_not_beside_it(pod: Pod, keys: RedisServer) -> None:
    """The user of a session is found by its event elsewhere; without one, all in the bucket end."""
    session = await pod.open()
    bucket = bucket_of(session)
    await pod.end(session)
    with keys.client() as client:
        (id_, fields), *_ = client.xrevrange(numbered(bucket).events, count=1)
        client.xdel(numbered(bucket).events, id_)
        client.xadd(numbered(bucket).events, fields)
    await pod.settle()
    assert [each.user for each in await entries(pod, bucket)] == [session.user]

    another = await pod.open(session.user)
    await pod.end(another)
    with keys.client() as client:
        client.delete(numbered(bucket).events)
    await pod.settle()
    assert [each.user for each in await entries(pod, bucket)] == [session.user, b""]
    assert not await pod.replay.covers(bucket, 1, 2)


async def test_cut_offs_are_done_again(pod: Pod, keys: RedisServer, snapshot: TakeSnapshot) -> None:
    """Of a user, but for those that stayed and came later; and of everybody in the bucket."""
    old = await pod.open()
    bucket = bucket_of(old)
    kept = await pod.open(old.user)
    neighbour = await pod.open(bytes([bucket]) + os.urandom(15))
    before = snapshot(bucket)
    await pod.sessions.cut_offs.end_all(old.user, CLIENT, reason="all", keep=kept.id)
    await pod.settle()
    before.put_back()
    await pod.reconnect()
    assert await pod.lives(old) == "rollback"
    await pod.settle()
    assert not await pod.lives(old)
    assert await pod.lives(kept) is await pod.lives(neighbour) is True

    await pod.sessions.cut_offs.everybody(CLIENT, reason="test", by="cli")
    await pod.settle()
    before.put_back()
    await pod.reconnect()
    assert await pod.lives(kept) == "rollback"
    await pod.settle()
    assert not await pod.lives(kept)
    assert not await pod.lives(neighbour)
    assert [event[b"cutOff"] for event in told(keys, bucket, "redis.wentBack")] == [b"false"]


async def test_killed_while_it_does_them_again(
    new_pod: NewPod, keys: RedisServer, snapshot: TakeSnapshot
) -> None:
    """Whoever takes over does all of it; of two that do it at once one numbers on."""
    pod, other = await new_pod(), await new_pod()
    sessions = [await pod.open()]
    bucket = bucket_of(sessions[0])
    sessions += [await pod.open(sessions[0].user) for _ in range(2)]
    stays = await pod.open(sessions[0].user)
    before = snapshot(bucket)
    for session in sessions:
        await pod.end(session)
    await pod.settle()
    said = feed(keys, bucket)
    before.put_back()
    await pod.reconnect()
    assert await pod.lives(stays) == "rollback"
    done = await pod.replay._redo(bucket, 0, (await entries(pod, bucket))[:2], 0, 3)
    assert (done, number(keys, bucket)) == (2, 0)
    await other.watch.look()
    assert await other.replay.run(bucket, 0, 3) is not None
    assert await pod.replay.run(bucket, 0, 3) is None
    assert not await pod.replay._settle(bucket, 0, 3, 0, True)
    await pod.watch.look()
    assert [await pod.lives(session) for session in sessions] == [False] * 3
    assert await pod.lives(stays) is True
    assert feed(keys, bucket) == said
    assert len(told(keys, bucket, "redis.wentBack")) == 1


async def test_a_cut_off_that_was_not_acknowledged_is_told(
    pod: Pod, snapshot: TakeSnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may stay, and is not done again then: the log says who was cut off all the same."""
    session, leaver = await pod.open(user := os.urandom(16)), await pod.open(user)
    before = snapshot(bucket_of(session))
    await pod.end(leaver)  # and no journal has it
    before.put_back()
    await pod.reconnect()
    settle = scripts.settle

    async def unacknowledged(*parts: Any, **values: Any) -> int:
        await settle(*parts, **values)
        raise StoreUnavailable("too few replicas have acknowledged the change")

    with monkeypatch.context() as patch, captured() as said:
        patch.setattr("service.rollback.replay.settle", unacknowledged)
        with pytest.raises(StoreUnavailable):
            await pod.journal.turn()
        await pod.settle()
    assert not await pod.lives(session)
    (line,) = (each for each in said if each["event"] == "redis.replayed")
    assert (line["cutOff"], line["acknowledged"]) == (True, False)


async def test_one_process_holds_the_lease(new_pod: NewPod, engine: AsyncEngine) -> None:
    """Another gets it when it was given back, or has run out; who has lost it writes nothing."""
    pod, other = await new_pod(), await new_pod()
    assert [await pod.journal.turn(), await other.journal.turn()] == [True, False]
    await pod.store.release()
    assert [await other.journal.turn(), await pod.journal.turn()] == [True, False]
    async with engine.begin() as connection:  # it has said nothing for so long
        await connection.execute(text(f"UPDATE leases SET until = until - {LEASE + 1}"))
    assert [await pod.journal.turn(), await other.journal.turn()] == [True, False]
    session = await pod.open()
    await pod.end(session)
    bucket = bucket_of(session)
    stale = Batch(bucket, (Entry(1, "1-0", "s", session.user, session.id),), True)
    assert not await other.store.append([stale], {})
    assert (await pod.store.numbers(), await entries(pod, bucket)) == ({}, [])
    assert await pod.journal.turn()
    assert (await pod.store.numbers())[bucket] == 1


async def test_a_user_store_that_was_restored(pod: Pod, engine: AsyncEngine) -> None:
    """Its fence is lower, which is no going back; and its journal is known to lack something."""
    session = await pod.open()
    bucket = bucket_of(session)
    for _ in range(3):
        await pod.end(await pod.open(session.user))
        await pod.settle()
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM journal WHERE last > 1"))
        await connection.execute(text("UPDATE fences SET number = 1"))
    await pod.end(await pod.open(session.user))
    await pod.settle()
    await pod.settle()
    assert await pod.lives(session) is True
    assert [each.number for each in await entries(pod, bucket)] == [1, 2, 3, 4]
    assert await pod.replay.covers(bucket, 0, 4)


@pytest.mark.parametrize("kept", [1, 0])
async def test_what_is_old_is_pruned(pod: Pod, kept: int) -> None:
    """All but the newest of a bucket, which tells that the journal has it."""
    session = await pod.open()
    bucket = bucket_of(session)
    for _ in range(2):
        await pod.end(await pod.open(session.user))
        await pod.settle()
    await pod.store.prune(-60_000 if kept else 3_600_000)
    assert [each.number for each in await entries(pod, bucket)] == ([2] if kept else [1, 2])
    assert await pod.replay.covers(bucket, 0, 2)


async def test_a_clock_that_is_ahead_prunes_nothing(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a pod with a wrong clock makes ends forgotten that still matter."""
    session = await pod.open()
    for _ in range(2):
        await pod.end(await pod.open(session.user))
        await pod.settle()
    ahead = SimpleNamespace(time=lambda: time.time() + 10**9)
    monkeypatch.setattr("service.rollback.store.time", ahead)
    await pod.store.prune(3_600_000)
    assert [each.number for each in await entries(pod, bucket_of(session))] == [1, 2]


async def test_the_lag_grows_without_the_user_store(pod: Pod, engine: AsyncEngine) -> None:
    """From the first turn on, whether anything has ended since then or not."""
    assert await pod.journal.turn()
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE leases RENAME TO elsewhere"))
    assert pod.journal.lag == 0
    await pod.journal._survive()
    assert pod.journal.lag > 0
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE elsewhere RENAME TO leases"))
    assert await pod.journal.turn()
    assert pod.journal.lag == 0
