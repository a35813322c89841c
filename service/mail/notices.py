"""Notices: what happened to an account, told by mail to the address that it has.

    notices.tell("password_changed", user, origin)
    notices.tell("recovery_code_used", user_id, origin)

A call keeps nobody waiting and never fails: what is to be told is put into the outbox beside it,
and where that cannot be done, the log says so. With mail or `SERVICE_NOTICES` off nothing is done.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime

import structlog

from service.accounts.user_rows import User
from service.accounts.users import Users
from service.clock import Clock
from service.errors import ServiceError
from service.mail.devices import device
from service.mail.messages import VALUES, Kind, new_message, spell
from service.mail.outbox import MailLimit, Outbox
from service.sessions.origin import RequestOrigin

log = structlog.get_logger()

_MOST_AT_ONCE = 1000
"""Notices that are being put into the outbox; more are not told."""

_ENDING = 2.0
"""Seconds that the end of a process waits for notices on their way into the outbox."""


class Notices:
    """Tells people what happened to their accounts. Without an outbox it tells nothing."""

    def __init__(
        self, outbox: Outbox | None = None, users: Users | None = None, clock: Clock | None = None
    ) -> None:
        self._outbox = outbox
        self._users = users
        self._clock = clock
        self._telling: set[asyncio.Task[None]] = set()

    @property
    def are_on(self) -> bool:
        """Whether anything is told."""
        return self._outbox is not None

    def tell(self, kind: Kind, user: User | bytes, origin: RequestOrigin) -> None:
        """Tell what happened. `user`: the row, with the address that is told; or an id, whose
        address is looked up."""
        if self._outbox is None:
            return
        if len(self._telling) >= _MOST_AT_ONCE:
            self._outbox.count(kind, "full")
            return
        task = asyncio.get_running_loop().create_task(self._tell(kind, user, origin))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def drain(self) -> None:
        """Wait until all that was told is in the outbox, for a moment at the most."""
        if self._telling:
            await asyncio.wait(self._telling, timeout=_ENDING)

    async def _tell(self, kind: Kind, who: User | bytes, origin: RequestOrigin) -> None:
        outbox, users, clock = self._outbox, self._users, self._clock
        if outbox is None or users is None or clock is None:
            return
        try:
            user = who if isinstance(who, User) else await users.get(who, None)
            if user is None:
                return
            now = clock()
            values = notice_values(kind, origin, now, user)
            message = new_message(kind, user.email, user.locale or "", now, values=values)
            await outbox.post(user.id, message, origin, limit=MailLimit(kind, 10, 50))
        except ServiceError as error:
            log.warning("notice not told", kind=kind, reason=str(error))
        except Exception as error:  # whatever it is, the call that it is about has been answered
            log.error("notice", kind=kind, exc_info=error)


def notice_values(
    kind: Kind, origin: RequestOrigin, when: datetime, user: User
) -> Mapping[str, str]:
    """Say when something happened, from where, and with which program: what the kind tells."""
    values = {
        "when": spell(when),
        "where": origin.address_text or "-",
        "device": device(origin.user_agent),
        "left": str(user.recovery_codes_left),
    }
    return {name: value for name, value in values.items() if name in VALUES[kind]}


NO_NOTICES = Notices()
