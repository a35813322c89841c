"""The scripts of this package: each of the files that it needs, with its keys and arguments."""

from typing import Any

from service.opaque_tokens import DIGEST
from service.redis.keys import FLOOR
from service.redis.scripts import Constants, Key
from service.sessions.user_scripts import user_script

VERSION = 1
ROW_VERSION = 7
"""Bytes of the version of a user row."""

SHORTEST = 1 + DIGEST + ROW_VERSION
"""Bytes of a record that has no bound data."""

_CONSTANTS: Constants = {
    "TICKET_VERSION": VERSION,
    "TICKET_BYTES": SHORTEST,
    "FLOOR": FLOOR,
}


@user_script("tickets/put.lua", constants=_CONSTANTS)
def put(*, ticket_key: Key, record: bytes, life: int, event: str, reason: str, by: str) -> Any:
    """Keep a ticket for `life` ms."""


@user_script("tickets/floor.lua", "tickets/take.lua", constants=_CONSTANTS)
def take(*, ticket_key: Key, digest: bytes, life: int) -> Any:
    """Use a ticket up."""


@user_script("tickets/floor.lua", "tickets/take_one_of_several.lua", constants=_CONSTANTS)
def take_one_of_several(*, tickets_key: Key, digest: bytes, life: int) -> Any:
    """Use a ticket up, and those that came after it."""


@user_script(
    text="""
    local entries = redis.call('HGETALL', tickets_key)
    for i = 1, #entries, 2 do
      if struct.unpack('>I6', entries[i + 1]) >= tonumber(issued) then
        redis.call('HDEL', tickets_key, entries[i])
      end
    end
"""
)
def forget_later(*, tickets_key: Key, issued: int) -> Any:
    """Delete those of several tickets that were issued at this time or later."""
