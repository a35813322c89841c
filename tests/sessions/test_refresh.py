"""Refresh over HTTP: one successor, the grace, and what counts as theft."""

import asyncio
import base64
import hashlib

import pytest
from tools.testbed.parts import MAC_KEYS
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import Person, code_of
from tools.testbed.waiting import wait_until

from service.redis.keys import bucket
from tests.support.keys import handoff_prefix, session_prefix
from tests.support.looking import session_keys

INVALID = (401, "invalid_refresh_token")
REUSED = (401, "refresh_token_reused")


async def test_a_refresh_gives_a_pair_that_works(person: Person) -> None:
    """The successor pair belongs to the same session; its access token works, as does the old."""
    answer = await person.refresh()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    fresh = person.holding(answer.json())
    assert fresh.session_id == person.session_id
    assert fresh.tokens["refreshToken"] != person.tokens["refreshToken"]
    assert set(fresh.tokens) == {
        "accessToken", "refreshToken", "tokenType", "expiresIn", "sessionId"
    }  # fmt: skip
    assert (await fresh.me()).status_code == (await person.me()).status_code == 200


async def test_fifty_racing_refreshes_give_one_successor(person: Person) -> None:
    """Two tabs, or fifty: all get the same refresh token, each an access token that works."""
    answers = await asyncio.gather(*(person.refresh() for _ in range(50)))
    assert [answer.status_code for answer in answers] == [200] * 50
    assert len({answer.json()["refreshToken"] for answer in answers}) == 1
    assert (await person.holding(answers[-1].json()).refresh()).status_code == 200


async def test_the_grace_covers_the_immediate_predecessor_only(person: Person) -> None:
    """Once the successor is spent, its predecessor is theft, within the grace too."""
    first = person.holding((await person.refresh()).json())
    second = person.holding((await first.refresh()).json())
    again = await first.refresh()
    assert again.json()["refreshToken"] == second.tokens["refreshToken"]
    assert code_of(await person.refresh()) == REUSED
    assert code_of(await second.refresh()) == INVALID


async def test_the_grace_runs_once(person: Person, keys: RedisServer) -> None:
    """Asking again within the grace does not prolong it."""
    await person.refresh()
    handoff = handoff_prefix(person.user_id) + bytes.fromhex(person.session_id)
    with keys.client() as client:
        ends = client.pexpiretime(handoff)
        assert 0 < client.pttl(handoff) <= 10_000
        for _ in range(3):
            assert (await person.refresh()).status_code == 200
        assert client.pexpiretime(handoff) == ends


async def test_after_the_grace_a_spent_token_ends_the_session(
    strict: Person, keys: RedisServer
) -> None:
    """Reuse is told once; then the session is gone for everybody, its thief included."""
    fresh = strict.holding((await strict.refresh()).json())
    handoff = handoff_prefix(strict.user_id) + bytes.fromhex(strict.session_id)
    with keys.client() as client:
        wait_until(lambda: not client.exists(handoff))
    assert code_of(await strict.refresh()) == REUSED
    assert code_of(await fresh.refresh()) == INVALID
    assert code_of(await strict.refresh()) == INVALID
    assert (await fresh.me()).status_code == 401


async def test_a_forged_token_never_ends_a_session(person: Person) -> None:
    """Knowing a victim's ids, and even a spent token, is not enough to forge reuse."""
    fresh = person.holding((await person.refresh()).json())
    for forged in _forgeries(person.tokens["refreshToken"]):
        assert code_of(await person.refresh(forged)) == INVALID
    assert (await fresh.me()).status_code == 200
    assert (await fresh.refresh()).status_code == 200


def _forgeries(text: str) -> list[str]:
    """The victim's routing part with other random bits, generations and keys, MACs made up."""
    secret = base64.urlsafe_b64decode(text.removeprefix("osr_"))
    bodies = [
        secret[:34] + bytes(32),
        secret[:30] + (7).to_bytes(4) + secret[34:66],
        secret[:1] + b"\x02" + secret[2:66],
    ]
    macs = [bytes(24), secret[66:], hashlib.sha256(secret[:66]).digest()[:24], MAC_KEYS[2][:24]]
    return [
        "osr_" + base64.urlsafe_b64encode(body + mac).decode() for body in bodies for mac in macs
    ]


async def test_a_token_from_the_future_ends_the_session(person: Person, keys: RedisServer) -> None:
    """A generation above the stored one proves that Redis went back in time: nobody is trusted."""
    with keys.client() as client:
        before = {key: (client.dump(key), client.pttl(key)) for key in client.scan_iter()}
        fresh = person.holding((await person.refresh()).json())
        client.flushall()
        for key, (value, life) in before.items():
            client.restore(key, max(life, 0), value, replace=True)  # the marks come back
    assert (await person.me()).status_code == 200, "the old state is back"
    assert code_of(await fresh.refresh()) == REUSED
    assert (await person.me()).status_code == 401
    assert code_of(await person.refresh()) == INVALID


async def test_an_authorization_header_is_ignored(person: Person) -> None:
    """A client that sends its expired access token along is not refused for it."""
    body = {"refreshToken": person.tokens["refreshToken"]}
    answer = await person.client.post(
        "/auth/refresh", json=body, headers={"Authorization": "Bearer gibberish"}
    )
    assert answer.status_code == 200


@pytest.mark.one_server("it is turned down before Redis is asked")
@pytest.mark.parametrize("junk", ["", "osr_", "x" * 124, "osr_" + "A" * 120, "osr_" + "é" * 120])
async def test_junk_is_an_invalid_refresh_token(person: Person, junk: str) -> None:
    """What is not one of our tokens is 401, whatever its shape."""
    answer = await person.client.post("/auth/refresh", json={"refreshToken": junk})
    assert code_of(answer) == INVALID


async def test_each_refresh_keeps_the_index_whole(person: Person, keys: RedisServer) -> None:
    """After many rotations there is one record, and the index names it and lives as long."""
    for _ in range(5):
        person = person.holding((await person.refresh()).json())
    index = bucket(person.user_id).index + person.user_id
    digest = hashlib.sha256(person.tokens["refreshToken"].encode()).digest()[:16]
    with keys.client() as client:
        assert client.hgetall(index) == {bytes.fromhex(person.session_id): digest}
        record = session_prefix(person.user_id) + digest
        assert session_keys(keys) == {record}
        assert client.pexpiretime(index) >= client.pexpiretime(record)
