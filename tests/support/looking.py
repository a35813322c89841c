"""Looking into Redis from outside, past the service."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tools.testbed import commands
from tools.testbed.commands import MARKS, Commands
from tools.testbed.redis_server import RedisServer

from service.redis.keys import bucket

ON_VALKEY = pytest.mark.parametrize("redis_server", ["valkey"], indirect=True)
"""For a test of what does not depend on the kind of server: once is enough."""


def events(server: RedisServer, user_id: bytes) -> list[dict[str, str]]:
    """The audit events about a user, oldest first, with the entry's id as `id`."""
    with server.client() as client:
        entries = client.xrange(bucket(user_id).events)
    rows = [
        {"id": entry.decode()} | {name.decode(): value.decode() for name, value in fields.items()}
        for entry, fields in entries
    ]
    return [row for row in rows if row["user"] == user_id.hex()]


def session_keys(server: RedisServer) -> set[bytes]:
    """The keys of all session records."""
    with server.client() as client:
        return set(client.scan_iter(match="session:*", count=1000))


def is_mark(key: bytes) -> bool:
    """Whether it says whose feed it is: written in the background, whatever is called meanwhile."""
    return key.startswith(MARKS)


@contextmanager
def watching(server: RedisServer) -> Iterator[Commands]:
    """Every command of callers between beginning and end; filled in at the end."""
    with server.client() as client, commands.watching([client]) as seen:
        yield seen
