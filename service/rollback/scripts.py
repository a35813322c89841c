"""The scripts of this package: each of the files that it needs, with its keys and arguments."""

from typing import Any

from service.redis.scripts import Arguments, Key, script
from service.sessions.user_scripts import CONSTANTS

AT_ONCE = 500
"""Entries of a feed that are read at once."""

_LOOKED_AT = 1_000
"""The newest events, among which an entry's is looked for that is not where it should be."""

_MOST_TOLD = 999
"""Entries that say that a bucket was cut off, besides the last."""

STEP = 30_000
"""The length of a TOTP step, ms."""


@script(
    "rollback/read.lua",
    constants={"AT_ONCE": AT_ONCE, "LOOKED_AT": _LOOKED_AT, "MANY": 8},
    acknowledged=False,
)
def read(*, revoked: Key, events: Key, after: str, before: str) -> Any:
    """Read entries of a feed, and whose sessions they have ended."""


@script(
    "rollback/redo.lua",
    constants={
        name: CONSTANTS[name]
        for name in ("SESSION", "HANDOFF", "SESSION_ID_BYTES", "CUT_OFF_FIELD")
    },
)
def redo(*, revocations: Key, revoked: Key, before: Key, values: Arguments) -> Any:
    """Do again what entries of a feed have ended."""


@script(
    text="""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', floor, string.format('%.0f', math.floor(now / STEP) + ahead))
redis.call('SET', tickets, string.format('%.0f', now))
return 1
""",
    constants={"STEP": STEP},
    acknowledged=False,
)
def use_up(*, floor: Key, tickets: Key, ahead: int) -> Any:
    """Have all TOTP codes and tickets of this moment count as used in a bucket."""


@script(
    text="""
local step = 0
if lost == '1' then step = math.floor(redis.call('TIME')[1] * 1000 / STEP) + ahead end
redis.call('SET', floor, string.format('%.0f', step), 'NX')
return 1
""",
    constants={"STEP": STEP},
    acknowledged=False,  # where it is lost in a failover it is absent, and laid again
)
def lay_floor(*, floor: Key, lost: int, ahead: int) -> Any:
    """Lay the floor of a bucket that has none: above all codes of this moment, if it was lost."""


@script(
    "sessions/prelude.lua",
    "rollback/settle.lua",
    constants={
        "STEP": STEP,
        "AHEAD": 256,
        "MOST_TOLD": _MOST_TOLD,
    },
)
def settle(
    *,
    events: Key,
    before: Key,
    revocations: Key,
    revoked: Key,
    floor: Key,
    tickets: Key,
    user: str,
    ip: str,
    request: str,
    bucket: int,
    had: int,
    expected: int,
    replayed: int,
    cut: int,
    ahead: int,
) -> Any:
    """Raise the number of a feed, so that its bucket is served again."""
