"""A stream of events as scripts write them, without the scripts."""

from collections.abc import AsyncIterator

import pytest
from tools.testbed.access import EVENTS
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import RedisServer

from service.redis.client import RedisClient
from service.redis.keys import bucket


@pytest.fixture
async def as_reader(keys: RedisServer) -> AsyncIterator[RedisClient]:
    """A client as the user of redis.conf who may read events, and nothing else."""
    client = RedisClient(keys.url_of(EVENTS), timing=PATIENTLY)
    yield client
    await client.aclose()


def write(server: RedisServer, user: bytes, type_: str, entry: str = "*") -> str:
    """Write an event of a user. Return its id."""
    with server.client() as client:
        fields = {"type": type_, "user": user.hex(), "ip": "", "request": ""}
        return _id(user, client.xadd(bucket(user).events, fields, id=entry))


def _id(user: bytes, entry: bytes) -> str:
    return f"{user[0] % 64:02x}-{entry.decode()}"
