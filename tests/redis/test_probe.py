"""The probe: which rights are missing, in whose words, the time, and the key that it writes."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager

import pytest
from tools.testbed.access import PASSWORD
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import RedisServer

from service.redis.client import RedisClient
from service.redis.keys import BARRIER, BARRIER_LIFE, KINDS
from service.redis.probe import _write
from tests.support.looking import ON_VALKEY

pytestmark = ON_VALKEY

KEY = BARRIER.encode() + b"{00}"


@pytest.fixture
def user(keys: RedisServer) -> Iterator[str]:
    """The name of a user whose rights a test sets."""
    yield "probed"
    with keys.client() as client:
        client.acl_deluser("probed")


@asynccontextmanager
async def connected(
    server: RedisServer, user: str, kinds: list[str], *rights: str
) -> AsyncIterator[RedisClient]:
    """A client of this user, who may do this, on keys of these kinds."""
    with server.client() as client:
        patterns = [f"~{kind}:*" for kind in kinds]
        client.execute_command(
            "ACL", "SETUSER", user, "reset", "on", f">{PASSWORD}", *patterns, *rights
        )
    async with aclosing(RedisClient(server.url_of(user), timing=PATIENTLY)) as redis_client:
        yield redis_client


async def test_nothing_is_missing(keys: RedisServer, user: str) -> None:
    """The time is Redis', seconds and microseconds, and the key ends by itself in a minute."""
    async with connected(keys, user, list(KINDS), "+@all") as redis_client:
        before = time.time_ns() // 1000
        missing, seconds, microseconds = await _write(redis_client, barrier=KEY)
        after = time.time_ns() // 1000
    assert missing == []
    assert before <= int(seconds) * 1_000_000 + int(microseconds) <= after
    with keys.client() as client:
        assert before // 1000 <= client.pexpiretime(KEY) - BARRIER_LIFE <= after // 1000
        assert client.get(KEY) == b""


async def test_what_is_missing(keys: RedisServer, user: str) -> None:
    """Each command and each kind of key, by name, in order; nothing that is there."""
    kinds = [kind for kind in KINDS if kind not in ("handoff", "totp", "sessions")]
    rights = ("+@all", "-hset", "-xadd", "-eval", "-get")
    async with connected(keys, user, kinds, *rights) as redis_client:
        with keys.client() as client:  # so that the script is there: this user may not send it
            source = redis_client.before_changing
            client.script_load(_write._source._spell(source)[0])
        missing, *_ = await _write(redis_client, barrier=KEY)
    assert missing == [b"EVAL", b"GET", b"HSET", b"XADD", b"handoff:*", b"sessions:*", b"totp:*"]
