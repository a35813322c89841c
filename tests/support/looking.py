"""Looking into Redis from outside, past the service."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tools.testbed.redis_server import RedisServer

from service.redis.keys import bucket, numbered

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


class Commands:
    """How often each command ran on a server while it was watched."""

    def __init__(self) -> None:
        self.from_clients: list[str] = []
        self.in_scripts: list[str] = []


MARKS = numbered(0).issuer.partition(b"{")[0]
"""Beginning of the keys that a service looks at every few seconds, and writes if they are gone."""


_CONNECTING = {"ACL", "AUTH", "CLIENT", "HELLO", "SELECT"}
"""What a connection begins with; one that a busy machine has lost is made anew."""

_UNASKED = re.compile(
    r"EVALSHA \w+ \d+ (?:events:|revoked:guards:|revoked:compared:)|GET revocations:", re.IGNORECASE
)
"""What a service does every few seconds, to trim events, to look how guards are and to compare: no
script of a user has such a key first, and no call asks for such a number by itself."""


def is_mark(key: bytes) -> bool:
    """Whether it says whose feed it is: written in the background, whatever is called meanwhile."""
    return key.startswith(MARKS)


@contextmanager
def watching(server: RedisServer) -> Iterator[Commands]:
    """Every command between beginning and end, as MONITOR tells them; filled in at the end.

    Those by which a service keeps its marks, trims its events, asks after guards and compares are
    none of the caller's, and left out.
    """
    seen, unasked = Commands(), False
    with server.client() as client, client.monitor() as monitor:
        yield seen
        with server.client() as other:
            other.echo("that is all")
        for line in monitor.listen():
            command = line["command"].split(" ", 1)[0].upper()
            if line["command"] == "ECHO that is all":
                return
            marks = MARKS.decode() in line["command"]
            if line["client_type"] != "lua":  # its script's commands follow it
                unasked = marks or bool(_UNASKED.match(line["command"]))
            if marks or unasked:
                continue
            if line["client_type"] == "lua":
                seen.in_scripts.append(command)
            elif command not in _CONNECTING:
                seen.from_clients.append(command)
