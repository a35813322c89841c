"""What the scripts of the second factor do in states that calls rarely leave behind."""

import asyncio
import os
from typing import Any

import pytest
from tools.testbed.parts import CLIENT, PATIENTLY
from tools.testbed.redis_server import RedisServer

from service.errors import AlreadyEnabled, EnrollmentNotFound, InvalidCode
from service.redis import keys as names
from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.twofactor.scripts import clock_ms, publish, spend
from tests.support.looking import events
from tests.support.run_queue import Stopwatch
from tests.twofactor.pods import Killed, Pods, finished
from tests.twofactor.test_overlapping import Held

pytestmark = pytest.mark.one_server("what a script does is the same on any")


def noted(server: RedisServer, user_id: bytes) -> bytes | None:
    with server.client() as client:
        version: bytes | None = client.hget(bucket(user_id).index + user_id, "v")
    return version


@pytest.fixture
async def redis_client(keys: RedisServer) -> Any:
    redis_client = RedisClient(keys.url, timing=PATIENTLY)
    yield redis_client
    await redis_client.aclose()


async def announce(redis_client: RedisClient, user_id: bytes) -> None:
    key = bucket(user_id).totp + b"e" * 16
    await spend(redis_client, user_id, CLIENT, watermark_key=key, code_step="", clock=clock_ms())


async def test_the_older_of_two_publishes_last(
    redis_client: RedisClient, keys: RedisServer
) -> None:
    """The newer version stays, and is a number again."""
    user_id = os.urandom(16)
    for _ in range(2):
        await announce(redis_client, user_id)
    await publish(redis_client, user_id, 9, "twoFA.recoveryCodesRenewed", CLIENT)
    assert (noted(keys, user_id) or b"").startswith(b"?1 9 ")
    await publish(redis_client, user_id, 4, "twoFA.recoveryCodesRenewed", CLIENT)
    assert noted(keys, user_id) == b"9"
    await publish(redis_client, user_id, 4, "twoFA.recoveryCodesRenewed", CLIENT)
    assert noted(keys, user_id) == b"9"


async def test_versions_up_to_2_to_the_53(redis_client: RedisClient, keys: RedisServer) -> None:
    """Exact to the last digit, in all that is written."""
    user_id, version = os.urandom(16), 2**53 - 1
    for _ in range(2):
        await announce(redis_client, user_id)
    await publish(redis_client, user_id, version, "twoFA.disabled", CLIENT)
    assert (noted(keys, user_id) or b"").startswith(b"?1 %d " % version)
    await publish(redis_client, user_id, version - 1, "twoFA.disabled", CLIENT)
    assert noted(keys, user_id) == b"%d" % version


async def test_a_change_that_was_killed_is_forgotten(
    redis_client: RedisClient, keys: RedisServer
) -> None:
    """Whoever began longer ago than a change may take is not waited for."""
    user_id = os.urandom(16)
    await announce(redis_client, user_id)
    with keys.client() as client:
        index = bucket(user_id).index + user_id
        count, highest, began = client.hget(index, "v").split()
        long_ago = int(began) - names.LONGEST_CHANGE.seconds * 1000 - 1
        client.hset(index, "v", b"%s %s %d" % (count, highest, long_ago))
    await announce(redis_client, user_id)
    await publish(redis_client, user_id, 5, "twoFA.disabled", CLIENT)
    assert noted(keys, user_id) == b"5"


async def test_the_index_outlives_a_change(redis_client: RedisClient, keys: RedisServer) -> None:
    """Where nobody is signed in it lives as long as a change may take; longer lives stay."""
    user_id, since = os.urandom(16), Stopwatch()
    index = bucket(user_id).index + user_id
    await announce(redis_client, user_id)
    with keys.client() as client:
        assert 60_000 - 1000 * (since.all + 1) < client.pttl(index) <= 60_000
        client.pexpire(index, 3_600_000)
        await announce(redis_client, user_id)
        assert client.pttl(index) > 3_500_000
        client.pexpire(index, 1_000)
        await announce(redis_client, user_id)
        assert client.pttl(index) > 60_000 - 1000 * (since.all + 1)


async def test_publishing_without_an_index(redis_client: RedisClient, keys: RedisServer) -> None:
    """Nobody asks, so nothing is noted, least of all for ever."""
    user_id = os.urandom(16)
    await publish(redis_client, user_id, 5, "twoFA.disabled", CLIENT)
    with keys.client() as client:
        assert not client.exists(bucket(user_id).index + user_id)


async def test_an_enrolment_replaced_between_find_and_confirm(
    pods: Pods, monkeypatch: pytest.MonkeyPatch, keys: RedisServer
) -> None:
    """The code is of one that is gone; the new one is whole, tries and all."""
    here, there = pods
    ann = await pods.sign_up()
    await here.begin(ann)
    code = pods.code(ann)
    pending = here.services.enrolments._pending
    held = Held(pending.confirm)
    monkeypatch.setattr(pending, "confirm", held)
    verifying = asyncio.create_task(here.verify(ann, code))
    await held.reached.wait()
    await there.begin(ann)
    with keys.client() as client:
        before = client.get(bucket(ann.id).pending + ann.id)
        held.go.set()
        with pytest.raises(EnrollmentNotFound):
            await verifying
        assert client.get(bucket(ann.id).pending + ann.id) == before
    assert len(await there.verify(ann, pods.code(ann))) == 10


async def test_completing_a_replaced_enrolment(
    pods: Pods, monkeypatch: pytest.MonkeyPatch, keys: RedisServer
) -> None:
    """The new one stays pending, and is of no use: 2FA is on already."""
    here, there = pods
    ann = await pods.sign_up()
    await here.begin(ann)
    pending = here.services.enrolments._pending
    held = Held(pending.complete)
    monkeypatch.setattr(pending, "complete", held)
    verifying = asyncio.create_task(here.verify(ann, pods.code(ann)))
    await held.reached.wait()
    await there.begin(ann)
    held.go.set()
    await verifying
    with keys.client() as client:
        assert client.exists(bucket(ann.id).pending + ann.id)
    with pytest.raises(AlreadyEnabled):
        await there.verify(ann, pods.code(ann, 1))
    assert [row["type"] for row in events(keys, ann.id)].count("twoFA.enabled") == 1


async def test_a_confirmed_code_after_a_crash_and_a_wrong_one(
    pods: Pods, monkeypatch: pytest.MonkeyPatch, keys: RedisServer
) -> None:
    """The wrong code does not take the confirmation back: the right one is accepted again."""
    here, there = pods
    ann = await pods.sign_up()
    await here.begin(ann)

    async def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(here.services.enrolments._factors, "enable", die)
        assert not await finished(here.verify(ann, pods.code(ann)))
    with keys.client() as client:
        confirmed = client.get(bucket(ann.id).pending + ann.id)
        ends = client.pexpiretime(bucket(ann.id).pending + ann.id)
    with pytest.raises(InvalidCode):
        await there.verify(ann, "000000" if pods.code(ann) != "000000" else "000001")
    with keys.client() as client:
        now = client.get(bucket(ann.id).pending + ann.id)
        assert client.pexpiretime(bucket(ann.id).pending + ann.id) == ends
    assert (now[:16], now[16], now[17:]) == (confirmed[:16], 1, confirmed[17:])
    assert len(await there.verify(ann, pods.code(ann))) == 10
