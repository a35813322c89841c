"""What guards find in the feed of a Redis that has gone back: nothing, then all of it."""

import os
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from tools.testbed.parts import CLIENT, Parts
from tools.testbed.redis_server import RedisServer

from service.errors import RefreshTokenReused
from service.redis.keys import numbered
from service.sessions.record import Authentication
from tests.rollback.conftest import NewPod
from tests.rollback.pod import FEED_LIFE, Opened, Pod, Snapshot, bucket_of, feed, number, told
from tests.support.looking import ON_VALKEY

TakeSnapshot = Callable[..., Snapshot]
ISSUER = "https://issuer.example"

pytestmark = ON_VALKEY


async def end_again(pod: Pod, snapshot: TakeSnapshot) -> Opened:
    """End a session, and have its bucket go back to before that and be mended."""
    ended = await pod.open()
    before = snapshot(bucket_of(ended))
    await pod.end(ended)
    await pod.settle()
    before.put_back()
    await pod.watch.look()
    await pod.settle()
    return ended


async def test_no_mark_until_it_is_mended(
    pod: Pod, keys: RedisServer, snapshot: TakeSnapshot
) -> None:
    """Emptied or restored, the mark is away while the bucket is fenced, and there are others'."""
    marking = pod.rollback.marking(pod.link, ISSUER)
    await marking.mark()
    ended = await pod.open()
    mark, elsewhere = numbered(bucket_of(ended)).issuer, numbered(bucket_of(ended) ^ 1).issuer
    before = snapshot(bucket_of(ended))
    await pod.end(ended)
    await pod.settle()
    with keys.client() as client:
        for goes_back in (before.put_back, client.flushall):
            goes_back()
            await pod.watch.look()
            assert await pod.lives(ended) == "rollback"
            await marking.mark()
            assert not client.exists(mark)
            assert client.exists(elsewhere)
            await pod.settle()
            await marking.mark()
            assert client.exists(mark)


async def test_a_redis_that_was_emptied_and_written_to(pod: Pod, keys: RedisServer) -> None:
    """Before anybody has noticed: numbers have been given twice, so everybody is cut off."""
    user = os.urandom(16)
    for _ in range(3):
        await pod.end(await pod.open(user))
    await pod.settle()
    with keys.client() as client:
        client.flushall()
    later = await pod.open(user)
    await pod.end(await pod.open(user))
    assert number(keys, bucket_of(later)) == 1
    await pod.watch.look()
    await pod.settle()
    assert not await pod.lives(later)
    assert feed(keys, bucket_of(later))[-1][1][b"g"] == b"1"
    assert feed(keys, bucket_of(later) ^ 1)[-1][1][b"g"] == b"1", "guards doubt it, too"
    assert told(keys, bucket_of(later), "redis.wentBack")[-1][b"cutOff"] == b"true"


async def test_a_redis_that_was_restored_and_written_to(
    pod: Pod, keys: RedisServer, snapshot: TakeSnapshot
) -> None:
    """By a pod that could not know: an end whose number was given twice does not count as done."""
    ended = await pod.open()
    stays = await pod.open(ended.user)
    unaware = Parts(pod.own).sessions
    before = snapshot(bucket_of(ended))
    await pod.end(ended)
    await pod.end(await pod.open(ended.user))
    await pod.settle()
    before.put_back()
    other = await pod.open(ended.user)
    await unaware.end(other.user, other.id, CLIENT)
    assert number(keys, bucket_of(ended)) == 1
    assert not await pod.replay.covers(bucket_of(ended), 1, 2)
    await pod.watch.look()
    assert await pod.lives(ended) == "rollback"
    await pod.settle()
    assert not await pod.lives(ended)
    assert not await pod.lives(stays), "it is not known who has ended"
    assert told(keys, bucket_of(ended), "redis.wentBack")[-1][b"cutOff"] == b"true"


async def test_a_verdict_of_theft_is_remembered_too(pod: Pod, keys: RedisServer) -> None:
    """It ends a session as a logout does, so the pod knows the number before it answers."""
    user = os.urandom(16)
    tokens = await pod.sessions.open(user, Authentication.PASSWORD, "user.loggedIn", CLIENT)
    second = await pod.sessions.refresh(tokens.refresh_token, CLIENT)
    await pod.sessions.refresh(second.refresh_token, CLIENT)
    with pytest.raises(RefreshTokenReused):
        await pod.sessions.refresh(tokens.refresh_token, CLIENT)
    assert pod.rollback.fence.answered[user[0] & 63] == 1


async def test_guards_hear_of_a_cut_off_by_policy(
    new_pod: NewPod, keys: RedisServer, snapshot: TakeSnapshot
) -> None:
    """Also where the feed has all entries again: it has a number of its own."""
    pod = await new_pod("cutoff")
    ended = await end_again(pod, snapshot)
    entries = [of for _, of in feed(keys, bucket_of(ended))]
    assert [of[b"n"] for of in entries] == [b"1", b"2"]
    assert (b"s" in entries[0], entries[1][b"g"]) == (True, b"1")
    assert number(keys, bucket_of(ended)) == 2


async def test_codes_elsewhere_count_as_used_too(
    pod: Pod, keys: RedisServer, snapshot: TakeSnapshot
) -> None:
    """A bucket that has lost no revocation may have lost that a code was used."""
    await end_again(pod, snapshot)
    with keys.client() as client:
        for bucket in range(64):
            step = int(client.get(numbered(bucket).totp_floor) or 0)
            assert abs(step - time.time() // 30) <= 2


async def test_the_feed_begins_with_one_that_matters_no_more(
    pod: Pod, keys: RedisServer, snapshot: TakeSnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards that start would miss what stood before the first entry, if that mattered."""
    user = os.urandom(16)
    before = snapshot()
    for _ in range(9):
        await pod.end(await pod.open(user))
    await pod.settle()
    bucket = user[0] & 63
    lost = feed(keys, bucket)
    before.put_back()
    await pod.watch.look()
    since = _milliseconds(lost[5])  # from here on they matter
    now = SimpleNamespace(time=lambda: (since + FEED_LIFE + 120_000) / 1000)
    monkeypatch.setattr("service.rollback.replay.time", now)
    assert await pod.replay.run(bucket, 0, 9)
    first, *others = [entry for entry in feed(keys, bucket) if b"s" in entry[1]]
    assert _milliseconds(first) < since or first == lost[0]
    assert [first, *others] == lost[-len(others) - 1 :]
    assert len(others) == 8 or _milliseconds(others[0]) >= since


def _milliseconds(entry: Any) -> int:
    return int(entry[0].partition(b"-")[0])
