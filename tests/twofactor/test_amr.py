"""`amr` after the second factor is gone: no session claims it at its next refresh."""

import asyncio

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import Person, claims_of

from service.redis.keys import bucket
from tests.support.keys import session_prefix
from tests.support.two_factor import Holder, let_steps_pass

OTP, RECOVERY, PASSWORD_ONLY = ["pwd", "otp", "mfa"], ["pwd", "mfa"], ["pwd"]


def amr(tokens: dict[str, str]) -> list[str]:
    claimed: list[str] = claims_of(tokens["accessToken"])["amr"]
    return claimed


async def second_login(ann: Holder, code: str) -> Person:
    answer = await ann.answer(await ann.challenge(), code)
    assert answer.status_code == 200, answer.text
    return ann.holding(answer.json())


async def refreshed(person: Person) -> Person:
    answer = await person.refresh()
    assert answer.status_code == 200, answer.text
    return person.holding(answer.json())


def proofs(server: RedisServer, ann: Holder) -> set[int]:
    """How the records of her sessions say that she has authenticated."""
    with server.client() as client:
        keys = list(client.scan_iter(session_prefix(ann.user_id) + b"*"))
        return {client.get(key)[21] & 7 for key in keys}


async def test_disabling(bob: Holder, elsewhere: httpx.AsyncClient, keys: RedisServer) -> None:
    """Each session goes on, at the address of either pod, and claims the password alone. Its end
    stays where it was."""
    first = await second_login(bob, bob.phone.code(1))
    second = await second_login(bob, bob.recovery_codes[0])
    assert (amr(first.tokens), amr(second.tokens)) == (OTP, RECOVERY)
    first = await refreshed(first)
    assert amr(first.tokens) == OTP, "while it is on"
    with keys.client() as client:
        ends = {
            key: client.pexpiretime(key)
            for key in client.scan_iter(session_prefix(bob.user_id) + b"*")
        }
    assert (await bob.disable(bob.recovery_codes[1])).status_code == 204
    assert proofs(keys, bob) == {1}
    with keys.client() as client:
        assert {key: client.pexpiretime(key) for key in ends} == ends
    for person in (first, Person(elsewhere, bob.email, second.tokens), bob):
        after = await refreshed(person)
        assert amr(after.tokens) == PASSWORD_ONLY
        assert (await after.me()).status_code == 200


async def test_a_handoff_within_the_grace_of_a_rotation_before(
    bob: Holder, keys: RedisServer
) -> None:
    """Who asks again with the spent token gets the same successor and the new claims."""
    session = await second_login(bob, bob.phone.code(1))
    rotated = await refreshed(session)
    assert amr(rotated.tokens) == OTP
    assert (await bob.disable(bob.recovery_codes[0])).status_code == 204
    again = await refreshed(session)
    assert again.tokens["refreshToken"] == rotated.tokens["refreshToken"]
    assert amr(again.tokens) == PASSWORD_ONLY


async def test_another_enrolment(bob: Holder, keys: RedisServer) -> None:
    """What the factor before it has proved is not taken for the new one's."""
    old = await second_login(bob, bob.phone.code(1))
    assert (await bob.disable(bob.recovery_codes[0])).status_code == 204
    let_steps_pass(keys)
    await bob.enrol()
    new = await second_login(bob, bob.recovery_codes[0])
    assert amr((await refreshed(old)).tokens) == PASSWORD_ONLY
    assert amr((await refreshed(new)).tokens) == RECOVERY


async def test_an_older_version_has_turned_it_off(bob: Holder, keys: RedisServer) -> None:
    """It leaves the records as they are: the user store is asked; a new enrolment clears them."""
    old = await second_login(bob, bob.phone.code(1))
    before = records(keys, bob)
    assert (await bob.disable(bob.recovery_codes[0])).status_code == 204
    restore(keys, before)
    old = await refreshed(old)
    assert amr(old.tokens) == PASSWORD_ONLY
    before = records(keys, bob)
    assert any(record[21] & 6 for record in before.values()), "as an older version leaves it"
    let_steps_pass(keys)
    await bob.enrol()
    assert proofs(keys, bob) == {1}
    assert amr((await refreshed(old)).tokens) == PASSWORD_ONLY


def records(server: RedisServer, ann: Holder) -> dict[bytes, bytes]:
    with server.client() as client:
        keys = list(client.scan_iter(session_prefix(ann.user_id) + b"*"))
        return {key: client.get(key) for key in keys}


def restore(server: RedisServer, kept: dict[bytes, bytes]) -> None:
    with server.client() as client:
        for key, record in kept.items():
            client.set(key, record, keepttl=True)


@pytest.mark.one_server("what another version has written is the same on any")
async def test_a_record_of_another_version_is_left_alone(bob: Holder, keys: RedisServer) -> None:
    """Disabling goes through beside it."""
    await second_login(bob, bob.phone.code(1))
    kept = {key: b"\x03" + record[1:] for key, record in records(keys, bob).items()}
    restore(keys, kept)
    with keys.client() as client:
        index = bucket(bob.user_id).index + bob.user_id
        client.hset(index, "w", "of another version")
    now = await second_login(bob, bob.recovery_codes[0])
    answer = await now.client.post(
        "/auth/2fa/disable", json={"code": bob.recovery_codes[1]}, headers=now.bearer
    )
    assert answer.status_code == 204
    assert {key: record for key, record in records(keys, bob).items() if key in kept} == kept


async def test_refreshes_that_race_with_disabling(
    bob: Holder, elsewhere: httpx.AsyncClient, keys: RedisServer
) -> None:
    """Ten sessions that refresh all the while: whatever began after the answer claims no factor."""
    let_steps_pass(keys)
    sessions = [await second_login(bob, code) for code in bob.recovery_codes[:8]]
    off = asyncio.Event()

    async def keep_refreshing(number: int, person: Person) -> set[tuple[str, ...]]:
        person = Person([bob.client, elsewhere][number % 2], bob.email, person.tokens)
        after: set[tuple[str, ...]] = set()
        while len(after) == 0:
            was_off = off.is_set()
            person = await refreshed(person)
            if was_off:
                after.add(tuple(amr(person.tokens)))
        return after

    async def disable() -> None:
        assert (await bob.disable(bob.recovery_codes[8])).status_code == 204
        off.set()

    *claims, _ = await asyncio.gather(
        *(keep_refreshing(*numbered) for numbered in enumerate(sessions)), disable()
    )
    assert claims == [{("pwd",)}] * 8
