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
SESSION = bytes.fromhex(VECTORS["session_id"])
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


async def test_a_session(parts: Parts, stored: RedisServer) -> None:
    """It is read, handed off, rotated, and its spent token is theft."""
    handed = await parts.sessions.refresh(VECTORS["spent"], CLIENT)
    assert handed.refresh_token == VECTORS["current"]
    session = await parts.sessions.current(parts.access_tokens.verify(handed.access_token))
    assert session.generation == 1
    assert session.authentication == Authentication.PASSWORD | Authentication.TOTP
    assert (session.ip_address, session.user_agent) == ("192.0.2.7", "a browser")
    assert session.user_version == 3
    await parts.sessions.refresh(VECTORS["current"], CLIENT)
    with pytest.raises(RefreshTokenReused):
        await parts.sessions.refresh(VECTORS["spent"], CLIENT)


async def test_a_session_as_it_is_written(parts: Parts, keys: RedisServer) -> None:
    """The same kinds of keys, with values as long; the record, in the layout that the previous
    release does not have, says the same and the version of the row besides."""
    pair = await parts.sessions.open(
        USER, Authentication.PASSWORD | Authentication.TOTP, "user.loggedIn", CLIENT, 3
    )
    await parts.sessions.refresh(pair.refresh_token, CLIENT)
    before = {bytes.fromhex(key): entry["value"] for key, entry in VECTORS["keys"].items()}
    with keys.client() as client:
        [record] = [client.get(key) for key in client.scan_iter(session_prefix(USER) + b"*")]
        [handoff] = [client.get(key) for key in client.scan_iter(b"handoff:*")]
        index = client.hgetall(bucket(USER).index + USER)
    [old_record] = [bytes.fromhex(v) for k, v in before.items() if k.startswith(b"session:")]
    [old_handoff] = [bytes.fromhex(v) for k, v in before.items() if k.startswith(b"handoff:")]
    assert (record[1:5], record[16:22]) == (old_record[1:5], old_record[16:22])
    assert (record[22:35], record[35:]) == (bytes(11) + b"\3\0", old_record[22:])
    assert len(handoff) == len(old_handoff)
    [old_index] = [value for value in before.values() if isinstance(value, dict)]
    assert sorted((len(f), len(v)) for f, v in index.items()) == sorted(
        (len(f) // 2, len(v) // 2) for f, v in old_index.items()
    )


async def test_a_plain_session_as_it_is_written(parts: Parts, keys: RedisServer) -> None:
    """Of an account that has never changed: in the layout that the previous release has."""
    pair = await parts.sessions.open(
        USER, Authentication.PASSWORD | Authentication.TOTP, "user.loggedIn", CLIENT
    )
    await parts.sessions.refresh(pair.refresh_token, CLIENT)
    with keys.client() as client:
        [record] = [client.get(key) for key in client.scan_iter(session_prefix(USER) + b"*")]
    [old_record] = [
        bytes.fromhex(entry["value"])
        for key, entry in VECTORS["keys"].items()
        if bytes.fromhex(key).startswith(b"session:")
    ]
    assert (record[:5], record[16:]) == (old_record[:5], old_record[16:])
    assert len(record) == len(old_record)


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
