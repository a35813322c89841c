"""Mails whose link has a ticket in it: both are kept by one script, or neither."""

from datetime import datetime, timedelta

import msgspec

from service.accounts.user_rows import User
from service.clock import Clock, moment
from service.mail.messages import Kind, new_message
from service.mail.notices import notice_values
from service.mail.outbox import NO_LIMIT, NOTHING, MailLimit, Outbox, Told
from service.sessions.origin import RequestOrigin
from service.tickets.tickets import Tickets
from service.tickets.tokens import Purpose


class TicketMail(msgspec.Struct, frozen=True, kw_only=True):
    """What is mailed: its kind, and the ticket that its link has, good for `life`.

    `bound` goes into the ticket, sealed; `told` is the event that is written with it.
    """

    kind: Kind
    purpose: Purpose
    life: timedelta
    bound: bytes = b""
    told: Told = NOTHING
    limited: bool = True


class TicketMails:
    """Mails links. May raise `StoreUnavailable`, also where the keys are not open yet."""

    def __init__(self, outbox: Outbox, tickets: Tickets, clock: Clock) -> None:
        self._outbox = outbox
        self._tickets = tickets
        self._clock = clock

    async def send(
        self, mail: TicketMail, user: User, address: str, origin: RequestOrigin
    ) -> datetime | None:
        """Mail a link to this address. Return when it ends; `None`: it was one too many."""
        return await self._send(mail, user, address, origin, to_nobody=False)

    async def pretend(self, mail: TicketMail, stand_in: bytes, origin: RequestOrigin) -> None:
        """Do all that `send` does, and leave nothing: nobody is told by the time it takes.

        `stand_in`: an id of nobody, such as a digest.
        """
        nobody = User(stand_in, _NOBODY, moment(0))
        await self._send(mail, nobody, _NOBODY, origin, to_nobody=True)

    async def tell_owner(self, user: User, kind: Kind, origin: RequestOrigin) -> None:
        """Mail something without a link, limited as links are."""
        message = new_message(kind, user.email, user.locale or "", self._clock())
        await self._outbox.post(user.id, message, origin, limit=MailLimit(kind))

    async def _send(
        self, mail: TicketMail, user: User, address: str, origin: RequestOrigin, *, to_nobody: bool
    ) -> datetime | None:
        minted = self._tickets.mint(mail.purpose, user.id, user.version, mail.bound)
        now = self._clock()
        values = notice_values(mail.kind, origin, now, user)
        message = new_message(
            mail.kind,
            address,
            user.locale or "",
            now,
            token=minted.token.text,
            life=mail.life,
            values=values,
        )
        return await self._outbox.post(
            user.id,
            message,
            origin,
            ticket=minted,
            life=mail.life,
            limit=MailLimit(mail.purpose.name) if mail.limited else NO_LIMIT,
            told=mail.told,
            to_nobody=to_nobody,
        )


_NOBODY = "nobody@example.invalid"
