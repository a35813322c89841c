"""What the previous release has stored stays readable, byte by byte, and is written like that."""

import json
import time
from datetime import timedelta
from typing import Any

import pytest
from tools.testbed.parts import CLIENT, Parts
from tools.testbed.redis_server import REPOSITORY, RedisServer

from service.errors import RefreshTokenReused
from service.keyring.envelope import Keyring
from service.redis.keys import bucket
from service.sessions.record import Authentication
from service.twofactor.challenges import Challenges
from service.twofactor.codes import reseal_secret, seal_secret
from service.twofactor.pending import PendingEnrolments
from tests.support.keys import session_prefix

pytestmark = pytest.mark.one_server("what is stored reads the same on any")

VECTORS: dict[str, Any] = json.loads((REPOSITORY / "tests/vectors/stored-v1.json").read_text())
USER = bytes.fromhex(VECTORS["user_id"])
SESSIONS: dict[str, dict[str, str]] = VECTORS["sessions"]
RECORDS = {
    value[0]: value
    for name, entry in VECTORS["keys"].items()
    if bytes.fromhex(name).startswith(b"session:")
    for value in [bytes.fromhex(entry["value"])]
}
"""The stored session records, by layout."""
KEYRING = Keyring({1: bytes.fromhex(VECTORS["data_key"])})


@pytest.fixture
def stored(keys: RedisServer) -> RedisServer:
    """A server that holds all that the previous release has written, a moment ago."""
    with keys.client() as client:
        for name, entry in VECTORS["keys"].items():
            key = bytes.fromhex(name)
            if entry["type"] == "hash":
                pairs = {bytes.fromhex(f): bytes.fromhex(v) for f, v in entry["value"].items()}
                client.hset(key, mapping=pairs)
            else:
                value = bytes.fromhex(entry["value"])
                if key.startswith(b"session:"):  # opened now
                    value = value[:5] + (time.time_ns() // 1_000_000).to_bytes(6) + value[11:]
                client.set(key, value)
            client.expire(key, 600)
    return keys


@pytest.mark.parametrize(("named", "row"), [("plain", 0), ("full", 3)])
async def test_a_session(parts: Parts, stored: RedisServer, named: str, row: int) -> None:
    """It is read, handed off, rotated, and its spent token is theft."""
    spent, current = SESSIONS[named]["spent"], SESSIONS[named]["current"]
    handed = await parts.sessions.refresh(spent, CLIENT)
    assert handed.refresh_token == current
    session = await parts.sessions.current(parts.access_tokens.verify(handed.access_token))
    assert (session.id.hex(), session.generation) == (SESSIONS[named]["session_id"], 1)
    assert session.authentication == Authentication.PASSWORD | Authentication.TOTP
    assert (session.ip_address, session.user_agent) == ("192.0.2.7", "a browser")
    assert (session.row_version, session.user_version) == (row, 3)
    await parts.sessions.refresh(current, CLIENT)
    with pytest.raises(RefreshTokenReused):
        await parts.sessions.refresh(spent, CLIENT)


@pytest.mark.parametrize(("layout", "row"), [(1, None), (2, 3)])
async def test_a_session_as_it_is_written(
    parts: Parts, keys: RedisServer, layout: int, row: int | None
) -> None:
    """The same kinds of keys, with values as long; of an account that has never changed, in the
    layout that a record has there."""
    both = Authentication.PASSWORD | Authentication.TOTP
    pair = await parts.sessions.open(USER, both, "user.loggedIn", CLIENT, row)
    await parts.sessions.refresh(pair.refresh_token, CLIENT)
    before = {bytes.fromhex(key): entry["value"] for key, entry in VECTORS["keys"].items()}
    with keys.client() as client:
        [record] = [client.get(key) for key in client.scan_iter(session_prefix(USER) + b"*")]
        [handoff] = [client.get(key) for key in client.scan_iter(b"handoff:*")]
        index = client.hgetall(bucket(USER).index + USER)
    old_record = RECORDS[layout]
    assert (record[:5], record[16:]) == (old_record[:5], old_record[16:])
    handoffs = {len(value) // 2 for key, value in before.items() if key.startswith(b"handoff:")}
    assert handoffs == {len(handoff)}
    [old_index] = [value for value in before.values() if isinstance(value, dict)]
    written = {(len(field), len(value)) for field, value in index.items()}
    stored = {(len(field) // 2, len(value) // 2) for field, value in old_index.items()}
    assert stored - written == (set() if row else {(1, 1)}), "the version of the row"
    assert written <= stored


async def test_a_pending_enrolment_and_a_challenge(parts: Parts, stored: RedisServer) -> None:
    """The secret and the codes are the ones that were shown; the challenge is that of its user."""
    minted = VECTORS["enrolment"]
    enrolment_id = bytes.fromhex(minted["id"])
    pending = PendingEnrolments(parts.link, KEYRING, timedelta(minutes=10))
    found = await pending.find(USER, enrolment_id)
    assert found is not None
    assert found.secret.hex() == minted["secret"]
    assert [code.hex() for code in found.recovery_codes] == minted["codes"]
    assert await pending.confirm(USER, enrolment_id, None, CLIENT) == "wrong"
    assert await pending.confirm(USER, enrolment_id, 1, CLIENT) == "accepted"
    challenges = Challenges(parts.link, timedelta(minutes=5))
    challenge = await challenges.find(VECTORS["challenge_id"])
    assert (challenge.user_id, challenge.enrolment_id) == (USER, enrolment_id)
    assert not await challenges.answer(challenge, "wrong", None, CLIENT)
    assert await challenges.answer(challenge, "totp", 2, CLIENT)


def test_a_stored_secret() -> None:
    """That of an enabled second factor opens, and what is sealed now is as long."""
    enrolment_id = bytes.fromhex(VECTORS["enrolment"]["id"])
    sealed = bytes.fromhex(VECTORS["stored_secret"]["sealed"])
    secret = bytes.fromhex(VECTORS["stored_secret"]["secret"])
    assert len(reseal_secret(KEYRING, USER, enrolment_id, sealed)) == len(sealed)
    opened = KEYRING.open(sealed, purpose="totp secret", bound_to=USER + enrolment_id)
    assert opened == secret
    assert len(seal_secret(KEYRING, USER, enrolment_id, secret)) == len(sealed)
