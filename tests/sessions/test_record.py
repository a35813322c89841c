"""The session record: what the scripts write is what Python reads."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from tools.testbed.parts import CLIENT, LIVES, Parts
from tools.testbed.redis_server import RedisServer

from service.errors import InvalidAccessToken
from service.sessions.record import Authentication, read
from service.sessions.sessions import Lives
from tests.support.keys import session_prefix

pytestmark = pytest.mark.one_server("what is stored reads the same on any")


@pytest.mark.parametrize(("authentication", "methods"), [
    (Authentication.PASSWORD, ("pwd",)),
    (Authentication.PASSWORD | Authentication.TOTP, ("pwd", "otp", "mfa")),
    (Authentication.PASSWORD | Authentication.RECOVERY_CODE, ("pwd", "mfa")),
])  # fmt: skip
def test_methods(authentication: Authentication, methods: tuple[str, ...]) -> None:
    """The `amr` values of the contract."""
    assert authentication.methods == methods


def test_the_layout() -> None:
    """A record made by hand from the documented offsets."""
    record = b"".join((
        b"\x01", (5).to_bytes(4), (1_700_000_000_123).to_bytes(6), (333).to_bytes(5),
        (100_000_000_000).to_bytes(5), b"\x01", b"\x04\xc0\x00\x02\x07",
    ))  # fmt: skip
    session = read(b"u" * 16, b"s" * 12, record, 1_750_000_000_789)
    assert session.generation == 5
    assert session.opened_at == datetime(2023, 11, 14, 22, 13, 20, 123_000, UTC)
    assert session.last_used_at - session.opened_at == timedelta(milliseconds=333)
    assert session.expires_at.microsecond == 789_000
    assert (session.ip_address, session.user_agent) == ("192.0.2.7", None)


def test_last_used_after_long() -> None:
    """Its five bytes are all read: 2^32 ms after the opening are 49 days only."""
    used = (49 * 86_400_000 + 2**33).to_bytes(5)
    record = b"\x01" + bytes(4) + bytes(6) + used + bytes(5) + b"\x01" + b"\0"
    session = read(b"u" * 16, b"s" * 12, record, 0)
    used_for = session.last_used_at - session.opened_at
    assert used_for == timedelta(days=49, milliseconds=2**33)


async def test_a_record_through_rotations(parts: Parts, keys: RedisServer) -> None:
    """The scripts count generations, keep what does not change and move the rest on."""
    pair = await parts.open()
    caller = parts.access_tokens.verify(pair.access_token)
    opened = await parts.sessions.current(caller)
    assert (opened.user_id, opened.id) == (caller.user_id, pair.session_id)
    assert opened.last_used_at == opened.opened_at
    for generation in range(1, 4):
        pair = await parts.sessions.refresh(pair.refresh_token, CLIENT)
        now = await parts.sessions.current(caller)
        assert now.generation == generation
        assert now.opened_at == opened.opened_at
        assert now.last_used_at >= opened.last_used_at
        assert now.authentication is Authentication.PASSWORD
        assert (now.ip_address, now.user_agent) == ("192.0.2.7", "a browser")
    digest = hashlib.sha256(pair.refresh_token.encode()).digest()[:16]
    with keys.client() as client:
        record = client.get(session_prefix(caller.user_id) + digest)
    assert record[0] == 1
    assert int.from_bytes(record[16:21]) == 30 * 86_400_000


async def test_a_life_longer_than_a_record_can_say(parts: Parts) -> None:
    """A century is cut to what fits, 34 years, and stays that through a refresh."""
    century = timedelta(days=36_500)
    long = Parts(parts.link, Lives(century, century, LIVES.grace))
    pair = await long.open()
    caller = long.access_tokens.verify(pair.access_token)
    opened = await long.sessions.current(caller)
    assert opened.expires_at - opened.opened_at == timedelta(milliseconds=2**40 - 1)
    await long.sessions.refresh(pair.refresh_token, CLIENT)
    assert (await long.sessions.current(caller)).expires_at == opened.expires_at


async def test_a_clock_that_was_put_back(parts: Parts, keys: RedisServer) -> None:
    """A session opened an hour from now was last used when it was opened, not in 34 years."""
    pair = await parts.open()
    caller = parts.access_tokens.verify(pair.access_token)
    digest = hashlib.sha256(pair.refresh_token.encode()).digest()[:16]
    key = session_prefix(caller.user_id) + digest
    with keys.client() as client:
        record = client.get(key)
        later = int.from_bytes(record[5:11]) + 3_600_000
        client.set(key, record[:5] + later.to_bytes(6) + record[11:], keepttl=True)
    await parts.sessions.refresh(pair.refresh_token, CLIENT)
    now = await parts.sessions.current(caller)
    assert now.last_used_at == now.opened_at


async def test_token_pairs_are_not_shown(parts: Parts) -> None:
    """The repr of a pair names the session and neither token."""
    pair = await parts.open()
    assert repr(pair) == f"TokenPair(session_id={pair.session_id.hex()})"


async def test_an_unknown_session_is_refused(parts: Parts, keys: RedisServer) -> None:
    """A token that verifies, of a session that Redis does not know: refused."""
    caller = parts.access_tokens.verify((await parts.open()).access_token)
    with keys.client() as client:
        client.flushall()
    with pytest.raises(InvalidAccessToken):
        await parts.sessions.current(caller)
