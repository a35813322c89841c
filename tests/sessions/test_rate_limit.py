"""Limits on calls that write an event and change little, and what a flood leaves of the events."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from tools.testbed.parts import CLIENT, PATIENTLY, Parts
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PATIENT, ServiceProcess, code_of, sign_up
from tools.testbed.waiting import eventually

from service.errors import TooManyAttempts
from service.rates import Rate
from service.redis.client import RedisClient
from service.redis.event_streams import EventStreams
from service.redis.keys import bucket, bucket_number
from service.redis.preamble import Bounds
from tests.support.looking import ON_VALKEY, events, watching
from tests.support.run_queue import Stopwatch

pytestmark = pytest.mark.one_server("a stream is each server's own")

LIMITED = (429, "rate_limited")


async def bounded(keys: RedisServer, bounds: Bounds) -> AsyncIterator[Parts]:
    redis_client = RedisClient(keys.url, bounds=bounds, timing=PATIENTLY)
    yield Parts(redis_client)
    await redis_client.aclose()


@pytest.fixture
async def limited(keys: RedisServer) -> AsyncIterator[Parts]:
    """Three rotations of a session, and calls of logout/all, in any 600 ms."""
    async for parts in bounded(keys, Bounds(calls=Rate(3, timedelta(milliseconds=600)))):
        yield parts


@pytest.fixture
async def small(keys: RedisServer) -> AsyncIterator[Parts]:
    """Streams of 200 events."""
    async for parts in bounded(keys, Bounds(events=200)):
        yield parts


async def test_a_session_rotates_so_often_in_any_window(limited: Parts, keys: RedisServer) -> None:
    """Sliding, tried without a pause; a refused token stays good; handoffs do not count."""
    loop = asyncio.get_running_loop()
    token = (await limited.open()).refresh_token
    done: list[float] = []
    waits: set[int] = set()
    while len(done) < 8:
        before = loop.time()
        try:
            successor = (await limited.sessions.refresh(token, CLIENT)).refresh_token
        except TooManyAttempts as error:
            waits.add(error.retry_after)
            continue
        done.append(before)
        if len(done) > 3:
            assert loop.time() - done[-4] >= 0.6 - 0.002  # Redis counts whole milliseconds
        assert (await limited.sessions.refresh(token, CLIENT)).refresh_token == successor
        token = successor
    assert waits == {1}


async def test_who_refreshes_seldom_leaves_no_list(limited: Parts, keys: RedisServer) -> None:
    """The record tells that the last one is long ago: nothing is written for the limit."""
    token = (await limited.open()).refresh_token
    for _ in range(3):
        await asyncio.sleep(0.65)
        token = (await limited.sessions.refresh(token, CLIENT)).refresh_token
        with keys.client() as client:
            assert client.keys("attempts:*") == []


async def test_a_limit_that_is_off_asks_for_nothing(parts: Parts, keys: RedisServer) -> None:
    """No list is looked at, nor written, however fast somebody rotates and logs out everywhere."""
    pair = await parts.open()
    caller = parts.access_tokens.verify(pair.access_token)
    with watching(keys) as seen:
        for _ in range(3):
            pair = await parts.sessions.refresh(pair.refresh_token, CLIENT)
            await parts.sessions.revoke_all(caller, True, CLIENT)
    assert not {"LINDEX", "RPUSH", "LPOP", "PEXPIRE"} & set(seen.in_scripts)
    assert "XADD" in seen.in_scripts


async def test_how_long_to_wait(keys: RedisServer) -> None:
    """Until the oldest of the calls that count leaves the window; no longer than the window."""
    window = timedelta(minutes=10)
    async for parts in bounded(keys, Bounds(calls=Rate(2, window))):
        pair = await parts.open()
        caller = parts.access_tokens.verify(pair.access_token)
        since = Stopwatch()
        for _ in range(2):
            await parts.sessions.revoke_all(caller, True, CLIENT)
        with keys.client() as client:
            [key] = client.scan_iter("attempts:*")
            assert 0 < client.pttl(key) <= 600_000
            newest = int(client.lindex(key, -1))
            for oldest, longest in ((newest - 200_000, 400), (newest + 86_400_000, 600)):
                client.lset(key, 0, oldest)
                with pytest.raises(TooManyAttempts) as refused:
                    await parts.sessions.revoke_all(caller, True, CLIENT)
                assert longest - 1 - since.all <= refused.value.retry_after <= longest


async def test_the_rotation_that_is_not_listed_counts(keys: RedisServer) -> None:
    """After a rest the first rotation is in the record only; it is one of three nevertheless."""
    async for parts in bounded(keys, Bounds(calls=Rate(3, timedelta(minutes=10)))):
        token = (await parts.open()).refresh_token
        with keys.client() as client:
            [key] = client.scan_iter("session:*")
            record = client.get(key)
            opened = int.from_bytes(record[5:11]) - 700_000
            client.set(key, record[:5] + opened.to_bytes(6) + record[11:], keepttl=True)
            token = (await parts.sessions.refresh(token, CLIENT)).refresh_token
            assert client.keys("attempts:*") == []
        for _ in range(2):
            token = (await parts.sessions.refresh(token, CLIENT)).refresh_token
        with pytest.raises(TooManyAttempts):
            await parts.sessions.refresh(token, CLIENT)


async def test_other_sessions_are_not_limited(limited: Parts) -> None:
    """The limit is one session's."""
    user_id = os.urandom(16)
    for _ in range(6):
        token = (await limited.open(user_id)).refresh_token
        await limited.sessions.refresh(token, CLIENT)


async def test_logging_out_everywhere_is_limited(limited: Parts) -> None:
    """Per user, over all sessions; and the session goes on."""
    user_id = os.urandom(16)
    pairs = [await limited.open(user_id) for _ in range(2)]
    callers = [limited.access_tokens.verify(pair.access_token) for pair in pairs]
    assert await limited.sessions.revoke_all(callers[0], True, CLIENT) == 1
    for _ in range(2):
        assert await limited.sessions.revoke_all(callers[0], True, CLIENT) == 0
    with pytest.raises(TooManyAttempts):
        await limited.sessions.revoke_all(callers[0], True, CLIENT)
    assert await limited.sessions.current(callers[0])


async def test_a_flood_pushes_out_its_own_events(small: Parts, keys: RedisServer) -> None:
    """Ninety people with an event each, then 1,500 of one account: the ninety stay."""
    first = os.urandom(1)
    people = [first + os.urandom(15) for _ in range(90)]
    for user_id in people:
        await small.open(user_id)
    flooder = first + os.urandom(15)
    token = (await small.open(flooder)).refresh_token
    for _ in range(1500):
        token = (await small.sessions.refresh(token, CLIENT)).refresh_token
    stream = bucket(flooder).events
    with keys.client() as client:
        assert client.xlen(stream) <= 200
        left = [dict(fields)[b"user"].decode() for _, fields in client.xrange(stream)]
        assert int(client.get(stream + b":dropped")) == 1591 - len(left)
    assert {user_id.hex() for user_id in people} <= set(left)
    assert left.count(flooder.hex()) > 50, "and the newest of the flood are told"


@ON_VALKEY
async def test_who_has_flooded_and_rests_pushes_nothing_out(keys: RedisServer) -> None:
    """What another account does afterwards is all there, though each sample is full of it."""
    first = os.urandom(1)
    flooder, other = (first + os.urandom(15) for _ in range(2))
    async for parts in bounded(keys, Bounds(events=1000)):
        with keys.client() as client, client.pipeline() as pipeline:
            for _ in range(1000):
                pipeline.xadd(bucket(flooder).events, {"type": "x", "user": flooder.hex()})
            pipeline.execute()
        streams = EventStreams(parts.link, timedelta(hours=1), lambda _: None, most=1000)
        token = (await parts.open(other)).refresh_token
        for number in range(199):
            if number % 50 == 0:
                await streams.look(bucket_number(other))
            token = (await parts.sessions.refresh(token, CLIENT)).refresh_token
        assert len(events(keys, other)) == 200
        assert len(events(keys, flooder)) > 500


async def test_where_nobody_floods_the_oldest_go(small: Parts, keys: RedisServer) -> None:
    """A stream that is too small for its users keeps the newest, at most as many as may be."""
    first = os.urandom(1)
    people = [first + os.urandom(15) for _ in range(400)]
    for user_id in people:
        await small.open(user_id)
    with keys.client() as client:
        left = [dict(fields)[b"user"].decode() for _, fields in client.xrange(bucket(first).events)]
    assert left == [user_id.hex() for user_id in people][-len(left) :]
    assert 150 <= len(left) <= 200


async def test_old_events_go_and_dropped_ones_are_told(small: Parts, keys: RedisServer) -> None:
    """By age, to the millisecond; what went by number is told once, by one process."""
    user_id = os.urandom(16)
    token = (await small.open(user_id)).refresh_token
    for _ in range(250):
        token = (await small.sessions.refresh(token, CLIENT)).refresh_token
    told: list[int] = []
    stream, number = bucket(user_id).events, bucket_number(user_id)
    pods = [EventStreams(small.link, timedelta(hours=1), told.append) for _ in range(2)]
    with keys.client() as client:
        before = client.xlen(stream)
        for pod in pods:
            await pod.look(number)
        assert told == [251 - before]
        assert client.xlen(stream) == before
        await asyncio.sleep(2.1)
        await small.sessions.refresh(token, CLIENT)
        await EventStreams(small.link, timedelta(seconds=2), told.append).look(number)
        assert client.xlen(stream) == 1


# --- over HTTP ------------------------------------------------------------------------------------


@pytest.fixture
async def strict(
    redis_server: RedisServer, keys: RedisServer, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    """A service behind a proxy whose limits are all low."""
    service = ServiceProcess(
        tmp_path,
        redis_server.url,
        SERVICE_TRUSTED_PROXIES="127.0.0.1/32",
        SERVICE_RATE_LIMIT="on",
        SERVICE_LIMIT_CALLS="3/1m",
        SERVICE_LIMIT_ACCOUNT_NETWORK="2/15m",
        SERVICE_LIMIT_ACCOUNT="3/1h",
        SERVICE_LIMIT_NETWORK="5/15m",
        SERVICE_LIMIT_SIGNUPS="4/1h",
        SERVICE_PASSWORD_MIN="10",
        SERVICE_EVENTS_MAX="100",
        **PATIENT,
    ).start()
    async with httpx.AsyncClient(base_url=service.url, timeout=30) as client:
        yield client
    assert service.stop() == 0


async def statuses(call: Callable[[], Awaitable[httpx.Response]], times: int) -> list[int]:
    answers = [await call() for _ in range(times)]
    for answer in answers:
        if answer.status_code == 429:
            assert code_of(answer) == LIMITED
            assert 1 <= int(answer.headers["retry-after"]) <= 3600
    return [answer.status_code for answer in answers]


@ON_VALKEY
async def test_limits_are_as_set(strict: httpx.AsyncClient) -> None:
    """Each call and each limit by its setting, and unknown addresses are one network."""
    ann = await sign_up(strict)
    headers = ann.bearer
    enabled = await statuses(lambda: strict.post("/auth/2fa/enable", headers=headers), 5)
    assert enabled == [200] * 3 + [429] * 2
    assert await statuses(lambda: ann.log_out_everywhere(keepCurrent=True), 4) == [200] * 3 + [429]
    for expected in (200, 200, 200, 429):
        answer = await ann.refresh()
        assert answer.status_code == expected
        ann = ann.holding(answer.json()) if expected == 200 else ann
    assert (await ann.log_out()).status_code == 204, "ending a session is not limited"
    assert code_of(await ann.log_out_everywhere()) == (401, "unauthorized")

    async def wrong(email: str, source: str) -> int:
        answer = await strict.post(
            "/auth/login",
            json={"email": email, "password": "wrong"},
            headers={"X-Forwarded-For": source},
        )
        return answer.status_code

    assert [await wrong(ann.email, "192.0.2.1") for _ in range(3)] == [401, 401, 429]
    assert [await wrong(ann.email, "192.0.3.1") for _ in range(2)] == [401, 429]
    others = [await wrong(f"{number}@example.com", "192.0.2.9") for number in range(4)]
    assert others == [401] * 3 + [429]
    nowhere = [await wrong(f"{number}@example.org", f"none{number}") for number in range(6)]
    assert nowhere == [401] * 5 + [429]
    weak = {"email": "bob@example.com", "password": "zq7!kfwmx"}
    assert code_of(await strict.post("/auth/signup", json=weak)) == (400, "weak_password")
    emails = (f"person-{number}@example.com" for number in range(9))

    async def signup() -> httpx.Response:
        body = {"email": next(emails), "password": "zq7!kfwmxy"}
        return await strict.post("/auth/signup", json=body)

    assert await statuses(signup, 4) == [201] * 3 + [429]


@ON_VALKEY
async def test_what_was_dropped_is_in_the_metrics(
    tmp_path: Path, redis_server: RedisServer, keys: RedisServer
) -> None:
    """A counter and a line in the log, without limits on calls where they are off."""
    service = ServiceProcess(
        tmp_path, redis_server.url, SERVICE_EVENTS_MAX="100", **PATIENT
    ).start()
    async with httpx.AsyncClient(base_url=service.url, timeout=30) as client:
        ann = await sign_up(client)
        for _ in range(130):
            answer = await client.post("/auth/2fa/enable", headers=ann.bearer)
            assert answer.status_code == 200
        assert 50 <= len(events(keys, ann.user_id)) <= 100

        async def counted() -> bool:
            text = (await client.get("/metrics")).text
            return bool(re.search(r"^openshow_events_dropped_total [1-9]", text, re.MULTILINE))

        await eventually(counted)

        async def said() -> bool:
            return "events dropped before their time" in service.output()

        await eventually(said)
    assert service.stop() == 0
