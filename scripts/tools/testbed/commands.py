"""Counts the commands that calls bring about, without what a service does unasked."""

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from service.redis.keys import numbered

MARKS = numbered(0).issuer.partition(b"{")[0]
"""Beginning of the keys that a service looks at every few seconds, and writes if they are gone."""

_CONNECTING = {
    "ACL", "AUTH", "CLIENT", "CLUSTER", "CONFIG", "HELLO", "INFO", "PING", "ROLE", "SELECT", "TIME"
}  # fmt: skip
"""What a connection begins with, one that a busy machine has lost is made anew; and what is asked
of servers themselves."""

_UNASKED = re.compile(
    r"EVALSHA \w+ \d+ (events|mail|revocations|barrier|revoked:(guards|compared|beat)):"
    r"|EVALSHA \w+ (2 revoked:\S+ events:|1 totp:\S+:floor)|M?GET (revocations|totp|events):",
    re.IGNORECASE,
)
"""What a service does every few seconds, to trim events, to look how guards are, for mails, whether
Redis has gone back and whether relying parties are noted, to compare and to write the journal: no
script of a user has such a key first, and no call asks for such a value by itself."""

_END = "that is all"


class Commands:
    """How often each command ran on some servers while they were watched."""

    def __init__(self) -> None:
        self.from_clients: list[str] = []
        self.in_scripts: list[str] = []


@contextmanager
def watching(clients: Sequence[Any]) -> Iterator[Commands]:
    """Every command between beginning and end, as MONITOR tells them; filled in at the end.

    Those that a service sends unasked (`_UNASKED`, and to keep its marks) are none of the caller's,
    and left out. `clients`: one of each server.
    """
    seen = Commands()
    with ExitStack() as stack:
        monitors = [stack.enter_context(client.monitor()) for client in clients]
        yield seen
        for client, monitor in zip(clients, monitors, strict=True):
            client.echo(_END)
            _take(monitor, seen)


def _take(monitor: Any, seen: Commands) -> None:
    unasked = False
    for line in monitor.listen():
        name = line["command"].split(" ", 1)[0].upper()
        if line["command"] == f"ECHO {_END}":
            return
        marks = MARKS.decode() in line["command"]
        if line["client_type"] != "lua":  # its script's commands follow it
            unasked = marks or bool(_UNASKED.match(line["command"]))
        if marks or unasked:
            continue
        if line["client_type"] == "lua":
            seen.in_scripts.append(name)
        elif name not in _CONNECTING:
            seen.from_clients.append(name)
