"""The version of a user's row, noted in Redis beside their sessions.

By it pods know whether the row that they have read is current.

The user store raises it with each change of the row. Redis notes it in the field `v` of the user's
index, whose other fields are session ids, in one of three states:

| noted                         | state     | what it means                                        |
| ----------------------------- | --------- | ---------------------------------------------------- |
| nothing                       | unchanged | the row is as it was made, its version 0             |
| `<version>`                   | settled   | the row has at least this version                    |
| `?<count> <highest> <began>`  | changing  | so many changes are under way, the highest version   |
|                               |           | that one of them has published, when the latest      |
|                               |           | began (ms since 1970, Redis' clock)                  |

A change of the row goes so:

1. *Announce*, before the user store is written: `v` is changing. Nobody opens a session by a row
   that they read before, and whoever asks who the caller is asks the user store.
2. Write the row. Its new version is the store's.
3. *Publish* that version: the last change to do so settles `v`, at the highest version of them.

A process that is killed between leaves `v` changing, which is slower and never wrong; after
`LONGEST_CHANGE` a change that has not been published is not waited for. Who opens a session tells
which version they have read: `open.lua` refuses where that is not the one that is noted, and tells
what is. A caller who then reads the same row again knows better than Redis, as after a restore of
the user store, and what they have read is noted.

Two more fields are there only when there is something to say: `d`, while `v` is changing, has the
ids of the sessions that were opened meanwhile (the latest 128, joined), for a cut-off that has to
tell which of them are by the new row (`cut_off.lua`, which looks at all once these are so many),
and a mark where another change was announced, since who came before that has not come during it;
`c` is the time of the last cut-off, ms.

Anything else in `v` is `UnknownLayout`; but what begins with `?` is enough for who asks who the
caller is, since the user store is right whatever follows. The Lua of it: `row_version.lua` reads
and writes all states, `open.lua` compares; both have the patterns below as constants.

The number is raised in `accounts/second_factors.py`, by random steps; `accounts/users.py` keeps
rows in memory under it; `authentication/opening.py` reads a row again that has changed meanwhile.
"""

from collections.abc import Mapping
from datetime import timedelta

from service.errors import UnknownLayout
from service.redis.keys import LONGEST_CHANGE
from service.sessions.refresh_tokens import SESSION_ID

FIELD, CUT_OFF_FIELD, MEANWHILE_FIELD = "v", "c", "d"
_CHANGING = b"?"
_MOST_MEANWHILE = 128
HIGHEST = 2**53 - 1
"""The highest version that scripts can tell from its neighbours."""

CONSTANTS: Mapping[str, str | int] = {
    "VERSION_FIELD": FIELD,
    "CUT_OFF_FIELD": CUT_OFF_FIELD,
    "MEANWHILE_FIELD": MEANWHILE_FIELD,
    "MOST_MEANWHILE": _MOST_MEANWHILE,
    "ANNOUNCED": "-" * SESSION_ID,
    "SETTLED": "^%d+$",
    "CHANGING": "^%?(%d+) (%d+) (%d+)$",
    "CHANGING_BYTE": _CHANGING[0],
    "LONGEST_CHANGE": LONGEST_CHANGE // timedelta(milliseconds=1),
}
"""Constants of scripts. The patterns are Lua's."""


def is_changing(noted: bytes) -> bool:
    """Tell whether a change of the row is announced, and not published."""
    return noted.startswith(_CHANGING)


def read(noted: bytes | None) -> int | None:
    """Read the version that is noted; `None` while the row changes.

    Raises:
        UnknownLayout: it is in none of the three states.
    """
    if noted is None:
        return 0
    if is_changing(noted):
        return None
    if not noted.isdigit():
        raise UnknownLayout("the version of a user row")
    return int(noted)
