"""Reads the audit events of one user out of the stream that they share with others."""

from collections.abc import Mapping
from typing import Any

import msgspec

from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.redis.scripts import Key, script

_AT_ONCE = 500
"""Entries looked at in one step, some 0.2 ms of Redis' time."""


class Event(msgspec.Struct, frozen=True):
    """An event: the id of its entry, when it happened (ms since 1970), its fields but the user."""

    id: str
    at: int
    fields: Mapping[str, str]


@script(
    text="""
-- Outcome: {those of the user, newest first; the id before which to go on, false at the end}
local entries = redis.call('XREVRANGE', stream, before, '-', 'COUNT', AT_ONCE)
local found = {}
for _, entry in ipairs(entries) do
  if entry[2][3] == 'user' and entry[2][4] == user then found[#found + 1] = entry end
end
return {found, #entries == AT_ONCE and entries[AT_ONCE][1]}
""",
    constants={"AT_ONCE": _AT_ONCE},
    acknowledged=False,
)
def _page(*, stream: Key, user: str, before: str) -> Any:
    """Read the events of a user among some entries of a stream."""


async def events_of(redis: RedisClient, user_id: bytes) -> list[Event]:
    """Read all events of a user that are kept, oldest first. Raises `StoreUnavailable`."""
    found: list[Event] = []
    before = "+"
    while before:
        entries, last = await _page(
            redis, stream=bucket(user_id).events, user=user_id.hex(), before=before
        )
        found += map(_event, entries)
        before = f"({last.decode()}" if last else ""
    found.reverse()
    return found


def _event(entry: Any) -> Event:
    entry_id, values = entry[0].decode(), [value.decode() for value in entry[1]]
    fields = dict(zip(values[::2], values[1::2], strict=True))
    del fields["user"]
    return Event(entry_id, int(entry_id.partition("-")[0]), fields)
