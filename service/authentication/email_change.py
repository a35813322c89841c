"""Another address for an account, confirmed from there, and undone from the one before.

The order of a confirmation is such that the old address can undo it whatever happens: the mail with
that link is kept when the row is written, and before that is committed; where it cannot be kept,
nothing changes. Then sessions end, all but the one that has asked, and again by the row's new
version: those that were opened meanwhile.
"""

from datetime import timedelta

import msgspec

from service.accounts import emails
from service.accounts.email_changes import EmailChanges
from service.accounts.user_rows import User
from service.accounts.users import Users
from service.authentication.identity import Identities
from service.authentication.recent import RecentAuthentication
from service.clock import Clock
from service.errors import (
    EmailTaken,
    InvalidVerificationToken,
    MailOff,
    Overloaded,
    TicketNotFound,
)
from service.mail.notices import Notices
from service.mail.outbox import Told
from service.mail.ticket_mails import TicketMail, TicketMails
from service.rate_limits import RateLimits
from service.sessions.access_tokens import Caller
from service.sessions.cut_offs import CutOffs
from service.sessions.origin import RequestOrigin
from service.tickets.tickets import Ticket, Tickets
from service.tickets.tokens import EMAIL_CHANGE, EMAIL_UNDO

CHANGE_LIFE = timedelta(hours=24)
UNDO_LIFE = timedelta(hours=72)

_FULL_OUTBOX = 60
"""Seconds after which it is worth trying again where too many messages wait."""


class _Bound(msgspec.Struct, frozen=True, array_like=True):
    address: str
    old_key: str
    session_id: bytes


class EmailChange:
    """Changes addresses. Any method may raise `StoreUnavailable`."""

    def __init__(
        self,
        identities: Identities,
        recent: RecentAuthentication,
        users: Users,
        changes: EmailChanges,
        cut_offs: CutOffs,
        tickets: Tickets,
        mails: TicketMails | None,
        rate_limits: RateLimits,
        notices: Notices,
        clock: Clock,
    ) -> None:
        self._identities = identities
        self._recent = recent
        self._users = users
        self._changes = changes
        self._cut_offs = cut_offs
        self._tickets = tickets
        self._mails = mails
        self._rate_limits = rate_limits
        self._notices = notices
        self._clock = clock

    async def request(self, caller: Caller, email: str, origin: RequestOrigin) -> timedelta:
        """Mail a link to another address, and tell the one that counts. Return how long it is good.

        Nobody is told whether the address is taken.

        Raises:
            InvalidAccessToken, AuthenticationNotRecent
            InvalidField: it is no address.
            TooManyAttempts: such calls.
            MailOff
        """
        identity = await self._identities.of(caller, as_stored=True)
        await self._recent.demand(identity)
        address = emails.normalize(email)
        if self._mails is None:
            raise MailOff
        user = identity.user
        await self._rate_limits.count_call(user.id, "change")
        bound = _Bound(address.as_given, emails.lookup_key(user.email), caller.session_id)
        mail = TicketMail(
            kind="change",
            purpose=EMAIL_CHANGE,
            life=CHANGE_LIFE,
            bound=msgspec.msgpack.encode(bound),
            told=Told("user.emailChangeRequested", by=caller.session_id.hex()),
        )
        if await self._mails.send(mail, user, address.as_given, origin) is not None:
            self._notices.tell("email_change_requested", user, origin)
        return CHANGE_LIFE

    async def confirm(self, text: str, origin: RequestOrigin) -> User:
        """Give the account the address to which the token `text` was mailed.

        Raises:
            InvalidVerificationToken
            EmailTaken: another account has it; told to who has proved that it is theirs.
            Overloaded: too many mails wait, so that the old address would hear of nothing.
        """
        mails = self._mails
        if mails is None:
            raise InvalidVerificationToken
        try:
            token = self._tickets.recognise(text, EMAIL_CHANGE)
            ticket = await self._tickets.find(token)
            user, bound = await self._asked(ticket)
            address = emails.normalize(bound.address)
            taken = await self._users.find_by_email(address.key)
            if taken is not None and taken.user.id != user.id:
                raise EmailTaken
            await self._tickets.take(token, CHANGE_LIFE, origin)
        except TicketNotFound:
            raise InvalidVerificationToken from None

        async def mail_undo() -> None:
            if await mails.send(_undo_mail(user), user, user.email, origin) is None:
                raise Overloaded(_FULL_OUTBOX)

        await self._cut_offs.announce(user.id, origin)
        now = self._clock()
        try:
            version = await self._changes.change(
                user.id,
                bound.old_key,
                ticket.row_version,
                address,
                now,
                now + UNDO_LIFE,
                mail_undo,
            )
        except (EmailTaken, Overloaded):
            await self._cut_offs.call_off(user.id, origin)
            raise
        if version is None:
            await self._cut_offs.call_off(user.id, origin)
            raise InvalidVerificationToken
        await self._cut_offs.end_all(
            user.id,
            origin,
            event="user.emailChanged",
            reason="emailChanged",
            keep=bound.session_id,
            row_version=version,
        )
        return await self._now(user.id, version)

    async def _asked(self, ticket: Ticket) -> tuple[User, _Bound]:
        """Read who has asked for another address, and for which, if that still counts."""
        bound = msgspec.msgpack.decode(ticket.bound, type=_Bound)
        user = await self._users.get(ticket.user_id, None)
        if user is None or ticket.row_version < user.sessions_from:
            raise InvalidVerificationToken
        if emails.lookup_key(user.email) != bound.old_key:
            raise InvalidVerificationToken
        return user, bound

    async def undo(self, text: str, origin: RequestOrigin) -> User:
        """Give the account the address back to which the token `text` was mailed.

        All sessions end, and the password is void until a reset; links of before are void, too.

        Raises:
            InvalidVerificationToken
        """
        try:
            token = self._tickets.recognise(text, EMAIL_UNDO)
            ticket, issued = await self._tickets.take_one_of_several(token, UNDO_LIFE, origin)
        except TicketNotFound:
            raise InvalidVerificationToken from None
        address = emails.normalize(ticket.bound.decode())

        async def forget_later() -> None:
            # A change that was confirmed since the ticket was taken has left an undo of its own.
            await self._tickets.forget_later(token, issued, origin)

        await self._cut_offs.announce(token.user_id, origin)
        try:
            version = await self._changes.undo(token.user_id, address, self._clock(), forget_later)
        except EmailTaken:
            version = None
        if version is None:
            await self._cut_offs.call_off(token.user_id, origin)
            raise InvalidVerificationToken
        await self._cut_offs.end_all(
            token.user_id,
            origin,
            event="user.emailChangeUndone",
            reason="emailChangeUndone",
            row_version=version,
        )
        await self._tickets.forget(token.user_id, EMAIL_UNDO)
        return await self._now(token.user_id, version)

    async def _now(self, user_id: bytes, version: int) -> User:
        user = await self._users.get(user_id, version)
        if user is None:  # deleted a moment ago
            raise InvalidVerificationToken
        return user


def _undo_mail(user: User) -> TicketMail:
    return TicketMail(
        kind="email_changed",
        purpose=EMAIL_UNDO,
        life=UNDO_LIFE,
        bound=user.email.encode(),
        limited=False,
    )
