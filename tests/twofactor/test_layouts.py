"""What another version has stored of the second factor: 503, and all stays as it is."""

from collections.abc import Awaitable, Callable

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import code_of

from service.redis.keys import bucket
from tests.support.two_factor import Holder

pytestmark = pytest.mark.one_server("what is stored reads the same on any")

UNAVAILABLE = (503, "service_unavailable")

OTHERS = [b"\x02", b"", lambda stored: stored + b"more", lambda stored: b"\x02" + stored]


def put(server: RedisServer, pattern: bytes, other: object) -> tuple[bytes, bytes]:
    """Change the one key like this. It, and what it holds now."""
    with server.client() as client:
        [key] = (key for key in client.scan_iter(pattern) if not key.endswith(b":row"))
        value = other if isinstance(other, bytes) else other(client.get(key))  # type: ignore[operator]  # the others are functions
        client.set(key, value, keepttl=True)
        return key, value


def now(server: RedisServer, key: bytes) -> bytes | None:
    with server.client() as client:
        value: bytes | None = client.get(key)
    return value


@pytest.mark.parametrize("other", OTHERS)
async def test_a_pending_enrolment(ann: Holder, keys: RedisServer, other: object) -> None:
    """It is neither confirmed nor replaced nor used up."""
    await ann.begin()
    key, value = put(keys, bucket(ann.user_id).pending + b"*", other)
    for code in (ann.phone.code(), ann.phone.wrong()):
        assert code_of(await ann.verify(code)) == UNAVAILABLE
    assert code_of(await ann.enable()) == UNAVAILABLE
    assert now(keys, key) == value
    assert await ann.two_fa() == (False, 0)


@pytest.mark.parametrize("other", OTHERS)
async def test_a_challenge(bob: Holder, keys: RedisServer, other: object) -> None:
    """It is neither passed nor counted against; another one is passed."""
    challenge = await bob.challenge()
    key, value = put(keys, bucket(bob.user_id).challenge + b"*", other)
    for code in (bob.phone.code(1), bob.phone.wrong(), bob.recovery_codes[0]):
        assert code_of(await bob.answer(challenge, code)) == UNAVAILABLE
    assert now(keys, key) == value
    assert (await bob.answer(await bob.challenge(), bob.phone.code(1))).status_code == 200


@pytest.mark.parametrize("other", [b"v2:5", b"\x02"])
@pytest.mark.parametrize("door", [Holder.disable, Holder.renew])
async def test_the_last_step(
    bob: Holder,
    keys: RedisServer,
    other: object,
    door: Callable[[Holder, str], Awaitable[httpx.Response]],
) -> None:
    """Nobody can say whether a code was used: none counts."""
    key, value = put(keys, bucket(bob.user_id).totp + b"*", other)
    assert code_of(await door(bob, bob.phone.code(1))) == UNAVAILABLE
    challenge = await bob.challenge()
    assert code_of(await bob.answer(challenge, bob.phone.code(1))) == UNAVAILABLE
    assert now(keys, key) == value
    assert (await bob.two_fa()) == (True, 10)
    assert (await bob.answer(challenge, bob.recovery_codes[0])).status_code == 200


async def test_the_version_in_the_index(bob: Holder, keys: RedisServer) -> None:
    """No code is spent for a change that could not be announced."""
    index = bucket(bob.user_id).index + bob.user_id
    [key] = _keys(keys, bucket(bob.user_id).totp + b"*")
    with keys.client() as client:
        client.hset(index, "v", b"of another version")
        kept = client.hgetall(index), client.get(key)
        for call in (bob.disable, bob.renew):
            assert code_of(await call(bob.phone.code(1))) == UNAVAILABLE
        assert (client.hgetall(index), client.get(key)) == kept


def _keys(server: RedisServer, pattern: bytes) -> list[bytes]:
    with server.client() as client:
        return list(client.scan_iter(pattern))
