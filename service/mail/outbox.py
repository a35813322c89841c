"""The outbox: messages wait in a stream of Redis, in the bucket of the user whom they are for.

A message and the ticket that is in it are kept by one script: one is there exactly if the other is.
Nothing here waits for a mail server; `sender.py` finds what was kept.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from service.clock import moment
from service.keyring.envelope import Keyring
from service.mail import scripts
from service.mail.messages import Message, seal
from service.redis.client import RedisClient
from service.redis.keys import BUCKETS, bucket, bucket_number
from service.sessions.origin import RequestOrigin
from service.tickets.tickets import Minted

Count = Callable[[str, str], None]
"""Called with the kind of a message and what became of it."""

_MS = timedelta(milliseconds=1)


class MailLimit(msgspec.Struct, frozen=True):
    """How many mails of a purpose an account gets. `name` goes into the key."""

    name: str
    an_hour: int = 3
    a_day: int = 10


NO_LIMIT = MailLimit("", 0, 0)
"""For operators, and for what follows from something that is limited itself."""


class Told(msgspec.Struct, frozen=True):
    """The event that is written with a message, and what goes into it."""

    event: str = ""
    reason: str = ""
    by: str = ""


NOTHING = Told()


def _count_nothing(kind: str, outcome: str) -> None:
    """Do nothing."""


def _wake_nobody(bucket: int) -> None:
    """Do nothing."""


class Outbox:
    """Keeps messages. `most` may wait, over all buckets; more are dropped, and counted."""

    def __init__(self, redis: RedisClient, keyring: Keyring, most: int) -> None:
        self._redis = redis
        self._keyring = keyring
        self._most = -(-most // BUCKETS)
        self.count: Count = _count_nothing
        self.on_kept: Callable[[int], None] = _wake_nobody
        """Called with the bucket of each message that was kept."""

    async def post(
        self,
        user_id: bytes,
        message: Message,
        origin: RequestOrigin,
        *,
        ticket: Minted | None = None,
        life: timedelta = timedelta(0),
        limit: MailLimit = NO_LIMIT,
        told: Told = NOTHING,
        to_nobody: bool = False,
    ) -> datetime | None:
        """Keep a message, and issue its ticket for `life`. Return when that expires.

        `None`: it was not kept, nor the ticket, which leaves that of before: there were too many
        for this account, or too many wait. `to_nobody`: nothing is kept, though the same is done,
        so that the time does not tell.

        Raises:
            StoreUnavailable
            KeyServiceUnavailable: the keys are not open yet.
        """
        keys = bucket(user_id)
        sealed = seal(self._keyring, user_id, message)
        outcome, *rest = await scripts.post(
            self._redis,
            user_id,
            origin,
            box=keys.mail,
            ticket_key=ticket.key if ticket else keys.ticket + b"none:" + user_id,
            sent_key=keys.attempts + sent_to(user_id, limit.name),
            message_id=sealed if to_nobody else message.id,
            message=b"" if to_nobody else sealed,
            record=ticket.record if ticket else b"",
            field=ticket.token.digest if ticket and ticket.token.purpose.several else b"",
            life=life // _MS,
            waiting_most=self._most,
            most_an_hour=limit.an_hour,
            most_a_day=limit.a_day,
            event=told.event,
            reason=told.reason,
            by=told.by,
            purpose=message.kind,
        )
        if outcome != b"posted":
            self.count(message.kind, outcome.decode())
            return None
        if not to_nobody:
            self.count(message.kind, "queued")
            self.on_kept(bucket_number(user_id))
        return moment(rest[0])


def sent_to(user_id: bytes, purpose: str) -> bytes:
    """Name the list of when a user got mails of a purpose, behind the prefix of such lists."""
    return f"mails:{purpose}:{user_id.hex()}".encode()
