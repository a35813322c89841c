"""The scripts of this package, each of the files that it needs."""

from service.redis.keys import ATTEMPTS, HANDOFF, SESSION
from service.redis.scripts import Script
from service.sessions.record import VERSION
from service.sessions.refresh_tokens import DIGEST, SEALED_SUCCESSOR, SESSION_ID

_CONSTANTS: dict[str, str | int] = {
    "SESSION": SESSION,
    "HANDOFF": HANDOFF,
    "ATTEMPTS": ATTEMPTS,
    "RECORD_VERSION": VERSION,
    "SESSION_ID_BYTES": SESSION_ID,
    "HANDOFF_BYTES": DIGEST + SEALED_SUCCESSOR,
    "VERSION_FIELD": "v",  # of the index, which holds session ids besides: version of the user row
}


def _script(*names: str, acknowledged: bool = True) -> Script:
    return Script.from_files(__package__, *names, constants=_CONSTANTS, acknowledged=acknowledged)


OPEN = _script("prelude.lua", "records.lua", "others.lua", "feed.lua", "open.lua")
ROTATE = _script(
    "prelude.lua", "records.lua", "feed.lua", "handoffs.lua", "calls.lua", "rotate.lua"
)
END = _script("end.lua")
READ = _script("read.lua", acknowledged=False)
LIST = _script("prelude.lua", "others.lua", "list.lua", acknowledged=False)
COUNT = _script("prelude.lua", "others.lua", "count.lua", acknowledged=False)
REVOKE = _script("prelude.lua", "others.lua", "feed.lua", "revoke.lua")
REVOKE_ALL = _script("prelude.lua", "others.lua", "feed.lua", "calls.lua", "revoke_all.lua")
GONE = _script("prelude.lua", "others.lua", "feed.lua", "gone.lua")
