"""A store gone, or a secret that does not open: 503, never "2FA off", never a login without it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import NamedTuple

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import ServiceProcess, code_of
from tools.testbed.waiting import eventually

from service.redis.keys import bucket
from tests.support.looking import ON_VALKEY
from tests.support.two_factor import Holder, new_holder
from tests.support.user_stores import NewUserStore, UserStore

AWAY = (503, "service_unavailable")

pytestmark = ON_VALKEY


class Fragile(NamedTuple):
    """A server, a user store and a process that no other test needs."""

    redis: RedisServer
    store: UserStore
    service: ServiceProcess


@pytest.fixture(scope="module")
def fragile(
    redis_server: RedisServer,
    new_user_store: NewUserStore,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Fragile]:
    directory = tmp_path_factory.mktemp("fragile")
    (directory / "redis").mkdir()
    server = RedisServer(redis_server.binary, directory / "redis").start()
    with new_user_store(directory) as store:
        service = ServiceProcess(directory, server.url, **store.settings).start()
        yield Fragile(server, store, service)
        assert service.stop() == 0
    server.stop()


@pytest.fixture
async def ann(fragile: Fragile) -> AsyncIterator[Holder]:
    """Somebody with 2FA on."""
    async with httpx.AsyncClient(base_url=fragile.service.url, timeout=30) as client:
        yield await (await new_holder(client)).enrol()


async def all_refused(ann: Holder, eve: Holder, challenge: str, *but: str) -> None:
    """Everything that has to do with the second factor; `eve` is about to enrol."""
    code = ann.phone.code(1)
    calls = {
        "login": ann.password(),
        "totp": ann.answer(challenge, code),
        "recovery code": ann.answer(challenge, ann.recovery_codes[0]),
        "wrong": ann.answer(challenge, "000000"),
        "disable": ann.disable(code),
        "recovery codes": ann.renew(code),
        "verify": eve.verify(),
        "enable": eve.enable(),
    }
    answers = await asyncio.gather(*calls.values())
    for name, answer in zip(calls, answers, strict=True):
        if name not in but:
            assert code_of(answer) == AWAY, (name, answer.text)
            assert answer.headers["retry-after"] == "1"
        assert "accessToken" not in answer.text


@pytest.mark.parametrize("lose", [RedisServer.kill, RedisServer.freeze])
async def test_redis_gone(
    fragile: Fragile, ann: Holder, lose: Callable[[RedisServer], None]
) -> None:
    """All calls say so; afterwards 2FA is on, the same challenge and code get in, none counted."""
    server = fragile.redis
    challenge = await ann.challenge()
    eve = await new_holder(ann.client)
    await eve.begin()
    lose(server)
    try:
        await all_refused(ann, eve, challenge)
        assert code_of(await ann.me()) == AWAY
    finally:
        await asyncio.to_thread(server.heal)

    async def serves() -> bool:
        return (await ann.me()).status_code == 200

    await eventually(serves)
    assert (await ann.two_fa())[0] is True
    with server.client() as client:
        assert sum(client.llen(key) for key in client.keys("attempts:*:codes:*")) <= 6
    if lose is RedisServer.kill:
        assert (await ann.answer(challenge, ann.phone.code(1))).status_code == 200
        assert (await eve.verify()).status_code == 200


async def test_user_store_gone(fragile: Fragile, ann: Holder) -> None:
    """The user store taken away: nobody gets in, with a code or without; nothing counts; put
    back, the same challenge and code get in."""
    challenge = await ann.challenge()
    eve = await new_holder(ann.client)
    await eve.begin()
    with fragile.store.out_of_reach():
        await all_refused(ann, eve, challenge, "enable")  # whose row is remembered
    with fragile.redis.client() as client:
        assert client.keys("attempts:*:codes:*") == []
    assert await ann.two_fa() == (True, 10)
    assert (await ann.answer(challenge, ann.phone.code(1))).status_code == 200


@pytest.mark.parametrize("damage", ["flipped", "cut", "another's", "another epoch"])
async def test_an_enabled_secret_that_does_not_open(
    fragile: Fragile, ann: Holder, damage: str
) -> None:
    """Flipped, cut, moved from another user, of an unknown epoch: 503 at each door, not counted."""
    store = fragile.store
    eve = await (await new_holder(ann.client)).enrol()
    challenge = await ann.challenge()
    sealed = _sealed(store, ann)
    broken = {
        "flipped": sealed[:-1] + bytes([sealed[-1] ^ 1]),
        "cut": sealed[:20],
        "another's": _sealed(store, eve),
        "another epoch": sealed[:1] + b"\0\0\0\x63" + sealed[5:],
    }[damage]
    _put(store, ann, broken)
    code = ann.phone.code(1)
    for answer in (
        await ann.answer(challenge, code),
        await ann.answer(challenge, eve.phone.code(1)),
        await ann.answer(challenge, ann.recovery_codes[0]),
        await ann.answer(challenge, "000000"),
        await ann.disable(code),
        await ann.disable(ann.recovery_codes[0]),
        await ann.renew(code),
    ):
        assert code_of(answer) == AWAY, answer.text
        assert answer.headers["retry-after"] == "1"
    assert (await ann.password()).status_code == 202
    assert await ann.two_fa() == (True, 10)
    with fragile.redis.client() as client:
        assert client.keys("attempts:*:codes:*") == []
    _put(store, ann, sealed)
    assert (await ann.answer(challenge, code)).status_code == 200


async def test_a_pending_secret_that_does_not_open(fragile: Fragile, ann: Holder) -> None:
    """Damaged, or another user's put in its place: 503, not counted, and nothing is turned on."""
    eve, ida = await new_holder(ann.client), await new_holder(ann.client)
    await eve.begin()
    await ida.begin()
    with fragile.redis.client() as client:
        key = bucket(eve.user_id).pending + eve.user_id
        stored = client.get(key)
        foreign = client.get(bucket(ida.user_id).pending + ida.user_id)
        for broken in (
            stored[:-1] + bytes([stored[-1] ^ 1]),
            stored[:30],
            stored[:25] + foreign[25:],
        ):
            client.set(key, broken, keepttl=True)
            assert code_of(await eve.verify()) == AWAY
            assert code_of(await eve.verify(ida.phone.code())) == AWAY
        assert client.keys("attempts:*:codes:*") == []
        client.set(key, stored, keepttl=True)
    assert await eve.two_fa() == (False, 0)
    assert (await eve.verify()).status_code == 200


def _sealed(store: UserStore, holder: Holder) -> bytes:
    [(sealed,)] = store.ask("SELECT totp_sealed FROM users WHERE id = $1", holder.user_id)
    return bytes(sealed)


def _put(store: UserStore, holder: Holder, sealed: bytes) -> None:
    store.ask("UPDATE users SET totp_sealed = $1 WHERE id = $2", sealed, holder.user_id)
