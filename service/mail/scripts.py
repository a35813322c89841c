"""The scripts of this package, with their keys and arguments."""

from datetime import timedelta
from typing import Any

from service.redis.keys import OUTBOX_LIFE
from service.redis.scripts import Constants, Key, script
from service.sessions.user_scripts import user_script

_MS = timedelta(milliseconds=1)

SENDING_TIME = timedelta(seconds=45)
"""The longest that one try may take."""

TRIES = 8
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=5), timedelta(hours=1)
"""Between a try and the next; each wait is three times the one before."""

_CONSTANTS: Constants = {
    "GROUP": "mailers",
    "SENDING": "sending",
    "WAITING": "waiting",
    "LEASE": 2 * SENDING_TIME // _MS,
    "FIRST_WAIT": FIRST_WAIT // _MS,
    "LONGEST_WAIT": LONGEST_WAIT // _MS,
    "OUTBOX_LIFE": OUTBOX_LIFE // _MS,
    "HOUR": timedelta(hours=1) // _MS,
    "DAY": timedelta(days=1) // _MS,
    "AT_ONCE": 1000,
}


@user_script("mail/limits.lua", "mail/post.lua", constants=_CONSTANTS)
def post(
    *,
    box: Key,
    ticket_key: Key,
    sent_key: Key,
    message_id: bytes,
    message: bytes,
    record: bytes,
    field: bytes,
    life: int,
    waiting_most: int,
    most_an_hour: int,
    most_a_day: int,
    event: str,
    reason: str,
    by: str,
    purpose: str,
) -> Any:
    """Keep a message until it is sent."""


@script(text="return redis.call('XLEN', box)", acknowledged=False, one_key=True)
def length(*, box: Key) -> Any:
    """Count what waits."""


@script("mail/next.lua", constants=_CONSTANTS, acknowledged=False)
def take_next(*, box: Key) -> Any:
    """Take the next message that is to be sent now."""


@script(
    text="""
redis.call('XACK', box, GROUP, entry)
redis.call('XDEL', box, entry)
""",
    constants=_CONSTANTS,
    acknowledged=False,  # lost, the message is sent once more
)
def sent(*, box: Key, entry: bytes) -> Any:
    """Forget a message that was sent."""


@script(
    text="redis.call('XCLAIM', box, GROUP, WAITING, 0, entry, 'JUSTID')",
    constants=_CONSTANTS,
    acknowledged=False,  # lost, it is tried again when its lease is over
)
def try_later(*, box: Key, entry: bytes) -> Any:
    """Give a message back, to be tried again."""


@user_script(
    text="""
redis.call('XACK', box, GROUP, entry)
if redis.call('XDEL', box, entry) > 0 then
  emit('mail.failed', 'purpose', purpose, 'reason', reason)
end
""",
    constants=_CONSTANTS,
)
def give_up(*, box: Key, entry: bytes, purpose: str, reason: str) -> Any:
    """Forget a message that cannot be sent, and tell."""
