"""The memory of an accepted TOTP step, at every door: it outlives the code by far."""

import time
from collections.abc import Awaitable, Callable

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import code_of

from service.redis.keys import bucket
from tests.support.looking import ON_VALKEY
from tests.support.two_factor import Holder, let_steps_pass, new_holder

LONGEST_PRESENTABLE = 90_000
"""ms: the step of now, and one either side."""


async def login(bob: Holder, code: str) -> httpx.Response:
    return await bob.answer(await bob.challenge(), code)


@pytest.mark.parametrize("door", [login, Holder.disable, Holder.renew])
async def test_after_a_code_was_accepted(
    bob: Holder, keys: RedisServer, door: Callable[[Holder, str], Awaitable[httpx.Response]]
) -> None:
    """It is remembered for longer than the code can be presented, and for no more than minutes."""
    let_steps_pass(keys)
    assert (await door(bob, bob.phone.code())).status_code in (200, 204)
    assert LONGEST_PRESENTABLE < remembered(keys, bob) <= 300_000


async def test_after_it_confirmed_an_enrolment(http: httpx.AsyncClient, keys: RedisServer) -> None:
    """That is a door, too."""
    ann = await new_holder(http)
    await ann.begin()
    assert (await ann.verify()).status_code == 200
    assert LONGEST_PRESENTABLE < remembered(keys, ann) <= 300_000


def remembered(server: RedisServer, person: Holder) -> int:
    """For how many ms the one watermark in the person's bucket will be there."""
    with server.client() as client:
        [key] = client.scan_iter(bucket(person.user_id).totp + b"*")
        return int(client.pttl(key))


@ON_VALKEY
@pytest.mark.parametrize("door", [login, Holder.disable, Holder.renew, Holder.verify])
@pytest.mark.parametrize(
    "cut", [lambda last: last[:-1], lambda last: last[1:], lambda _: b"", lambda _: b"0x1p4",
            lambda last: b" " + last, lambda _: b"-1", lambda _: b"nan", lambda _: b"0"],
)  # fmt: skip
async def test_one_that_is_no_number_of_now(
    http: httpx.AsyncClient,
    keys: RedisServer,
    door: Callable[[Holder, str], Awaitable[httpx.Response]],
    cut: Callable[[bytes], bytes],
) -> None:
    """Of a cut one it is not known which codes were used: none is taken, and nothing changes."""
    ann = await new_holder(http)
    await ann.begin()
    if door is not Holder.verify:
        assert (await ann.verify()).status_code == 200
    else:  # one that a code was accepted for, and the pending enrolment then lost its step
        assert (await ann.verify(ann.phone.wrong())).status_code == 400
    names = bucket(ann.user_id)
    with keys.client() as client:
        if door is Holder.verify:
            key = names.totp + client.get(names.pending + ann.user_id)[:16]
            last = str(int(time.time()) // 30).encode()
        else:
            [key] = client.scan_iter(names.totp + b"*")
            last = client.get(key)
        client.set(key, cut(last), px=300_000)
        answer = await door(ann, ann.phone.code(1))
        assert code_of(answer) == (503, "service_unavailable"), answer.text
        assert client.get(key) == cut(last)
        client.delete(key)
    assert (await door(ann, ann.phone.code(1))).status_code in (200, 204), "the code is not spent"


async def test_a_wrong_answer_does_not_move_the_deadline(bob: Holder, keys: RedisServer) -> None:
    """A challenge is over when it was to be over, however often it is answered."""
    challenge = await bob.challenge()
    with keys.client() as client:
        key, _ = sorted(client.scan_iter(bucket(bob.user_id).challenge + b"*"), key=len)
        client.pexpire(key, 60_000)
        ends = client.pexpiretime(key)
        for _ in range(3):
            assert (await bob.answer(challenge, bob.phone.wrong())).status_code == 401
            assert client.pexpiretime(key) == ends
        assert client.get(key)[-1] == 3


async def test_a_pending_enrolment_keeps_deadline_and_tries(
    http: httpx.AsyncClient, keys: RedisServer
) -> None:
    """Whether a code is wrong or confirms it and is taken again after a crash."""
    ann = await new_holder(http)
    await ann.begin()
    key = bucket(ann.user_id).pending + ann.user_id
    with keys.client() as client:
        client.pexpire(key, 60_000)
        ends = client.pexpiretime(key)
        for _ in range(2):
            assert (await ann.verify(ann.phone.wrong())).status_code == 400
        assert (client.pexpiretime(key), client.get(key)[16]) == (ends, 2)
