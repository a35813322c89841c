"""A new password by a link: whoever has it needs no other proof, so it works once and briefly.

The second factor stays on, and nobody is logged in by it. The order is that of any change that ends
sessions: killed anywhere, it leaves the old password with its sessions or the new one without them.
The ticket goes first: whatever happens then, the link does not work again.
"""

import asyncio
from datetime import datetime, timedelta

from service.accounts import emails
from service.accounts.account_changes import AccountChanges
from service.accounts.password_policy import PasswordPolicy
from service.accounts.passwords import PasswordHash, Passwords
from service.accounts.user_rows import Credentials, User
from service.accounts.users import Users
from service.authentication.password_attempts import PasswordAttempts, account_subject
from service.clock import Clock
from service.errors import AccountChanged, InvalidResetToken, MailOff, TicketNotFound
from service.mail.notices import NO_NOTICES, Notices
from service.mail.outbox import Told
from service.mail.ticket_mails import TicketMail, TicketMails
from service.rate_limits import RateLimits
from service.sessions.cut_offs import CutOffs
from service.sessions.origin import RequestOrigin
from service.tickets.tickets import Issued, Ticket, Tickets
from service.tickets.tokens import PASSWORD_RESET

_MOST_READINGS = 3
"""How often an account is read that changes meanwhile, again and again."""


class ResetLinks:
    """Issues the tokens of links by which a password is reset. May raise `StoreUnavailable`.

    With `mails` they go to the address of the account; without, whoever issues one hands it on.
    """

    def __init__(self, tickets: Tickets, life: timedelta, mails: TicketMails | None = None) -> None:
        self._tickets = tickets
        self._life = life
        self._mails = mails

    @property
    def life(self) -> timedelta:
        """How long a link is good."""
        return self._life

    @property
    def are_mailed(self) -> bool:
        """Whether mail is on."""
        return self._mails is not None

    async def issue(
        self, user: User, origin: RequestOrigin, *, reason: str = "", by: str = ""
    ) -> Issued:
        """Issue a token for this account, which replaces the one before it."""
        return await self._tickets.issue(
            PASSWORD_RESET, user.id, user.version, self._life, "user.resetRequested", origin,
            reason=reason, by=by,
        )  # fmt: skip

    async def mail(
        self, user: User, origin: RequestOrigin, *, reason: str = "", by: str = ""
    ) -> datetime | None:
        """Mail a link to the account's address, and return when it ends.

        `None`: it was not mailed, and the link of before stays good: too many were, or too many
        wait. An operator (`by`) may mail as many as they like.

        Raises:
            MailOff
        """
        if self._mails is None:
            raise MailOff
        mail = self._mail(user.email, Told("user.resetRequested", reason, by), limited=not by)
        return await self._mails.send(mail, user, user.email, origin)

    async def pretend_to_mail(self, stand_in: bytes, origin: RequestOrigin) -> None:
        """Do all that `mail` does, for nobody.

        Raises:
            MailOff
        """
        if self._mails is None:
            raise MailOff
        await self._mails.pretend(self._mail("", Told(), limited=True), stand_in, origin)

    def _mail(self, address: str, told: Told, *, limited: bool) -> TicketMail:
        return TicketMail(
            kind="reset",
            purpose=PASSWORD_RESET,
            life=self._life,
            bound=_MAILED + address.encode(),
            told=told,
            limited=limited,
        )


_MAILED = b"to "
"""Stands in a ticket before the address to which it was mailed: who has the link reads there."""


class ResetRequests:
    """Mails links to whoever asks, to the address of an account alone."""

    def __init__(
        self,
        users: Users,
        rate_limits: RateLimits,
        attempts: PasswordAttempts,
        links: ResetLinks,
    ) -> None:
        self._users = users
        self._rate_limits = rate_limits
        self._attempts = attempts
        self._links = links

    async def request(self, email: str, origin: RequestOrigin) -> timedelta:
        """Mail a link to this address, if an account has it. Return how long a link is good.

        The same is done for everybody, in the same time: for who has no account, or a disabled one,
        and for what is no address.

        Raises:
            TooManyAttempts: by the network that asks.
            StoreUnavailable
            MailOff
        """
        await self._attempts.count_network(self._rate_limits.limits.resets, origin)
        key = emails.lookup_key(email)
        found = await self._users.find_by_email(key)
        if found is None or found.user.disabled_at is not None:
            stand_in = account_subject(self._rate_limits, key)
            await self._links.pretend_to_mail(stand_in, origin)
        else:
            await self._links.mail(found.user, origin)
        return self._links.life


class PasswordReset:
    """Sets passwords by such tokens. May raise `StoreUnavailable` or `Overloaded`."""

    def __init__(
        self,
        users: Users,
        passwords: Passwords,
        policy: PasswordPolicy,
        attempts: PasswordAttempts,
        changes: AccountChanges,
        cut_offs: CutOffs,
        tickets: Tickets,
        life: timedelta,
        clock: Clock,
        notices: Notices = NO_NOTICES,
    ) -> None:
        self._users = users
        self._passwords = passwords
        self._policy = policy
        self._attempts = attempts
        self._changes = changes
        self._cut_offs = cut_offs
        self._tickets = tickets
        self._life = life
        self._clock = clock
        self._notices = notices

    async def reset(self, text: str, password: str, origin: RequestOrigin) -> None:
        """Set the password of the account that the token `text` is for, and end all its sessions.

        Open challenges and other tickets of the account end with them.

        Raises:
            InvalidResetToken: unknown, malformed, expired, used, replaced, or of another purpose.
            InvalidField, WeakPassword: of the password; the token is still good.
        """
        try:
            token = self._tickets.recognise(text, PASSWORD_RESET)
            place = self._attempts.place(origin)
            self._passwords.check_room(place)
            account = await self._account(await self._tickets.find(token))
            # It may read a large file.
            await asyncio.to_thread(self._policy.check, password, account.user.email)
            hashed = await self._passwords.hash(password, place)
            ticket = await self._tickets.take(token, self._life, origin)
        except TicketNotFound:
            raise InvalidResetToken from None
        await self._cut_offs.announce(token.user_id, origin)
        try:
            version = await self._store(ticket, hashed)
        except InvalidResetToken:  # another change was faster, and has ended what was before it
            await self._cut_offs.call_off(token.user_id, origin)
            raise
        await self._cut_offs.end_all(
            token.user_id, origin, event="user.passwordReset", reason="reset", row_version=version
        )
        self._notices.tell("password_changed", account.user, origin)

    async def _store(self, ticket: Ticket, hashed: PasswordHash) -> int:
        """Store the new hash, and return the version of the row."""
        for _ in range(_MOST_READINGS):
            account = await self._account(ticket)
            version = await self._changes.set_password(
                ticket.user_id,
                account.password,
                hashed,
                self._clock(),
                verified=ticket.bound.startswith(_MAILED),
                read=account.user,
            )
            if version is not None:
                return version
        raise AccountChanged(b"")

    async def _account(self, ticket: Ticket) -> Credentials:
        """Read the account of a ticket that has not ended with the account's sessions."""
        account = await self._users.credentials(ticket.user_id)
        if account is None or ticket.row_version < account.user.sessions_from:
            raise InvalidResetToken
        if ticket.bound and ticket.bound != _MAILED + account.user.email.encode():
            raise InvalidResetToken  # it was mailed to an address of before
        return account
