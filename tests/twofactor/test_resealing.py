"""Moving pending enrolments to another epoch, in Redis, beside those who use them."""

import os
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from tools.testbed.access import SERVICE
from tools.testbed.parts import CLIENT, PATIENTLY
from tools.testbed.redis_server import RedisServer

from service.errors import StoreUnavailable
from service.keyring.envelope import Keyring, epoch_of
from service.redis.client import RedisClient
from service.redis.node import Timing
from service.twofactor import resealing
from service.twofactor.pending import PendingEnrolments, sealed_part
from service.twofactor.resealing import Resealing

OLD, NEW = {1: b"o" * 32}, {1: b"o" * 32, 2: b"n" * 32}


@pytest.fixture
async def redis_client(keys: RedisServer) -> AsyncIterator[RedisClient]:
    redis_client = RedisClient(keys.url, timing=PATIENTLY)
    yield redis_client
    await redis_client.aclose()


def walk(keyring: Keyring) -> Resealing:
    return Resealing(None, keyring, lambda _: None)  # type: ignore[arg-type]  # no user store here


async def begun(redis_client: RedisClient) -> tuple[bytes, Any]:
    """A user with a pending enrolment of epoch 1."""
    user_id = os.urandom(16)
    pending = PendingEnrolments(redis_client, Keyring(OLD), timedelta(minutes=10))
    return user_id, (await pending.begin(user_id, CLIENT))[0]


def stored(keys: RedisServer) -> dict[bytes, bytes]:
    with keys.client() as client:
        found = list(client.scan_iter(match="pending2fa:*"))
        return {key: client.get(key) for key in found}


async def test_pending_enrolments_move(keys: RedisServer, redis_client: RedisClient) -> None:
    """All of them are sealed under the new epoch, say the same as before, and live no longer."""
    people = dict([await begun(redis_client) for _ in range(50)])
    with keys.client() as client:
        before = {key: client.pexpiretime(key) for key in stored(keys)}
    assert await walk(Keyring(NEW)).reseal_pending(redis_client) == 50
    assert {epoch_of(sealed_part(value)[1]) for value in stored(keys).values()} == {2}
    with keys.client() as client:
        assert {key: client.pexpiretime(key) for key in stored(keys)} == before
    pending = PendingEnrolments(redis_client, Keyring({2: NEW[2]}), timedelta(minutes=10))
    for user_id, enrolment in people.items():
        assert await pending.find(user_id, enrolment.id) == enrolment
    assert await walk(Keyring(NEW)).reseal_pending(redis_client) == 0  # again: nothing left to do


async def test_wrong_tries_stay_counted(
    keys: RedisServer, redis_client: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong code between reading and writing still counts; the seal moves all the same."""
    user_id, enrolment = await begun(redis_client)
    pending = PendingEnrolments(redis_client, Keyring(NEW), timedelta(minutes=10))
    outcomes = []
    reseal = resealing.reseal_pending

    def raced(keyring: Keyring, user: bytes, value: bytes) -> bytes:
        with keys.client() as client:  # as confirm.lua does it
            (key,) = client.scan_iter(match="pending2fa:*")
            client.setrange(key, 16, b"\x04")
        return reseal(keyring, user, value)

    monkeypatch.setattr(resealing, "reseal_pending", raced)
    assert await walk(Keyring(NEW)).reseal_pending(redis_client) == 1
    for _ in range(2):
        outcomes.append(await pending.confirm(user_id, enrolment.id, None, CLIENT))
    assert outcomes == ["wrong", "gone"]  # the fifth, and then there is none


async def test_replaced_enrolment_stays(
    keys: RedisServer, redis_client: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An enrolment that was begun anew between reading and writing is not overwritten."""
    await begun(redis_client)
    reseal = resealing.reseal_pending

    def raced(keyring: Keyring, user: bytes, value: bytes) -> bytes:
        with keys.client() as client:
            (key,) = client.scan_iter(match="pending2fa:*")
            client.set(key, b"x" * len(value), keepttl=True)
        return reseal(keyring, user, value)

    monkeypatch.setattr(resealing, "reseal_pending", raced)
    assert await walk(Keyring(NEW)).reseal_pending(redis_client) == 0
    (value,) = stored(keys).values()
    assert value == b"x" * len(value)


async def test_damaged_one_is_counted_and_left(
    keys: RedisServer, redis_client: RedisClient
) -> None:
    """What does not open stays, and keeps nobody else's from being moved."""
    await begun(redis_client)
    with keys.client() as client:
        (key,) = client.scan_iter(match="pending2fa:*")
        client.setrange(key, 60, b"damaged")
    await begun(redis_client)
    walking = walk(Keyring(NEW))
    assert await walking.reseal_pending(redis_client) == 1
    assert walking.broken == 1


@pytest.mark.one_server("what the user may do is the same on any")
async def test_user_that_may_not_scan(keys: RedisServer) -> None:
    """The service's own ACL user may not walk through keys, and the command says so."""
    patient = Timing(connect=timedelta(seconds=10))
    redis_client = RedisClient(keys.url_of(SERVICE), timing=patient)
    with pytest.raises(StoreUnavailable, match="does not let this user walk through its keys"):
        await walk(Keyring(NEW)).reseal_pending(redis_client)
    await redis_client.aclose()
