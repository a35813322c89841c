"""The feed: what the scripts tell the guards, entry by entry."""

import os
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from tools.testbed.parts import CLIENT, LIVES, Parts
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import claims_of
from tools.testbed.waiting import wait_until

from service.errors import NothingToRevoke, RefreshTokenReused
from service.redis.keys import FEED_SKEW, bucket
from service.sessions.sessions import Lives
from tests.support.keys import session_prefix
from tests.support.looking import ON_VALKEY

USER = bytes(16)


def sat(access_token: str) -> int:
    """When the session of a token was opened, as guards compare it, ms."""
    return int(claims_of(access_token)["sat"])


def feed(server: RedisServer) -> list[tuple[int, bytes]]:
    """The entries about `USER`'s bucket: number and session id."""
    with server.client() as client:
        entries = client.xrange(bucket(USER).revoked)
    assert all(set(fields) == {b"n", b"s"} for _, fields in entries)
    return [(int(fields[b"n"]), fields[b"s"]) for _, fields in entries]


async def test_each_end_is_one_entry(parts: Parts, keys: RedisServer) -> None:
    """Logout and one are an entry each, all others and all, too: one for all of them, with the time
    by which they were opened and who stays. A repetition is none."""
    sessions = parts.sessions
    pairs = [await parts.open(USER) for _ in range(5)]
    first = parts.access_tokens.verify(pairs[0].access_token)
    await sessions.log_out(first, pairs[1].refresh_token, CLIENT)
    with pytest.raises(NothingToRevoke):
        await sessions.log_out(first, pairs[1].refresh_token, CLIENT)
    await sessions.revoke(first, pairs[2].session_id, CLIENT)
    assert await sessions.revoke_all(first, True, CLIENT) == 2
    assert await sessions.revoke_all(first, False, CLIENT) == 1
    with keys.client() as client:
        entries = [entry for _, entry in client.xrange(bucket(USER).revoked)]
    times = [int(entry.pop(b"t")) for entry in entries[2:]]
    assert entries == [
        {b"n": b"1", b"s": pairs[1].session_id},
        {b"n": b"2", b"s": pairs[2].session_id},
        {b"n": b"3", b"u": USER, b"k": pairs[0].session_id},
        {b"n": b"4", b"u": USER},
    ]
    opened = [sat(pair.access_token) for pair in pairs]
    assert max(opened) <= times[0] < times[1]
    assert sat((await parts.open(USER)).access_token) > times[1]


async def test_reuse_is_an_entry(parts: Parts, keys: RedisServer) -> None:
    """A stolen token ends the session, for the guards too; rotations before it are none."""
    stolen = await parts.open(USER)
    once = await parts.sessions.refresh(stolen.refresh_token, CLIENT)
    await parts.sessions.refresh(once.refresh_token, CLIENT)
    assert feed(keys) == []
    with pytest.raises(RefreshTokenReused):
        await parts.sessions.refresh(stolen.refresh_token, CLIENT)
    assert feed(keys) == [(1, stolen.session_id)]


async def test_the_limit_is_an_entry(parts: Parts, keys: RedisServer) -> None:
    """The oldest session, which had to make room."""
    pairs = [await parts.open(USER) for _ in range(51)]
    assert feed(keys) == [(1, pairs[0].session_id)]


async def test_buckets_count_for_themselves(parts: Parts, keys: RedisServer) -> None:
    """Another bucket's entries leave no hole in this one's numbers."""
    for user_id in (USER, b"\1" * 16, USER):
        pair = await parts.open(user_id)
        caller = parts.access_tokens.verify(pair.access_token)
        await parts.sessions.log_out(caller, pair.refresh_token, CLIENT)
    assert [number for number, _ in feed(keys)] == [1, 2]


@ON_VALKEY
@pytest.mark.parametrize("how", ["log_out", "revoke"])
async def test_old_entries_go(parts: Parts, keys: RedisServer, how: str) -> None:
    """What is older than a token's life and the skew is trimmed, but for the newest of it."""
    day = timedelta(days=1) // timedelta(milliseconds=1)
    now = int(datetime.now(UTC).timestamp() * 1000)
    matters = (timedelta(minutes=15) + 2 * FEED_SKEW) // timedelta(milliseconds=1)
    with keys.client() as client:
        for number in range(1, 401):
            at = now - (day if number <= 300 else matters - 30_000)
            entry = {"n": number, "s": os.urandom(12)}
            client.xadd(bucket(USER).revoked, entry, id=f"{at}-{number}")
        client.set(bucket(USER).revocations, 400)
    mine = parts.access_tokens.verify((await parts.open(USER)).access_token)
    for _ in range(64):
        other = await parts.open(USER)
        if how == "log_out":
            await parts.sessions.log_out(mine, other.refresh_token, CLIENT)
        else:
            await parts.sessions.revoke(mine, other.session_id, CLIENT)
    numbers = [number for number, _ in feed(keys)]
    assert numbers == list(range(300, 465)), "the newest of the old ones stays"


@pytest.mark.one_server("expiry is each server's own")
async def test_natural_ends_need_no_entry(parts: Parts, keys: RedisServer) -> None:
    """A session expires without a word: no access token of it outlives it."""
    brief = Parts(parts.link, Lives(timedelta(days=1), timedelta(seconds=2), LIVES.grace))
    pair = await brief.open(USER)
    claims = jwt.decode(pair.access_token, options={"verify_signature": False})
    with keys.client() as client:
        index = bucket(USER).index + USER
        digest = client.hget(index, pair.session_id)
        ends = client.pexpiretime(session_prefix(USER) + digest) / 1000
        assert ends <= claims["exp"] < ends + 1
        assert pair.expires_in == claims["exp"] - claims["iat"] <= 3
        wait_until(lambda: not client.exists(index))
    assert feed(keys) == []
