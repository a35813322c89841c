"""A new password by a link: whoever has it needs no other proof, so it works once and briefly.

The second factor stays on, and nobody is logged in by it. The order is that of any change that ends
sessions: killed anywhere, it leaves the old password with its sessions or the new one without them.
The ticket goes first: whatever happens then, the link does not work again.
"""

import asyncio
from datetime import timedelta

from service.accounts.account_changes import AccountChanges
from service.accounts.password_policy import PasswordPolicy
from service.accounts.passwords import PasswordHash, Passwords
from service.accounts.user_rows import Credentials, User
from service.accounts.users import Users
from service.authentication.password_attempts import PasswordAttempts
from service.clock import Clock
from service.errors import AccountChanged, InvalidResetToken, TicketNotFound
from service.sessions.cut_offs import CutOffs
from service.sessions.origin import RequestOrigin
from service.tickets.tickets import Issued, Ticket, Tickets
from service.tickets.tokens import PASSWORD_RESET

_MOST_READINGS = 3
"""How often an account is read whose hash is renewed meanwhile, again and again."""


class ResetLinks:
    """Issues the tokens of links by which a password is reset. May raise `StoreUnavailable`."""

    def __init__(self, tickets: Tickets, life: timedelta) -> None:
        self._tickets = tickets
        self._life = life

    async def issue(
        self, user: User, origin: RequestOrigin, *, reason: str = "", by: str = ""
    ) -> Issued:
        """Issue a token for this account, which replaces the one before it."""
        return await self._tickets.issue(
            PASSWORD_RESET, user.id, user.version, self._life, "user.resetRequested", origin,
            reason=reason, by=by,
        )  # fmt: skip


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
        clock: Clock,
    ) -> None:
        self._users = users
        self._passwords = passwords
        self._policy = policy
        self._attempts = attempts
        self._changes = changes
        self._cut_offs = cut_offs
        self._tickets = tickets
        self._clock = clock

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
            ticket = await self._tickets.take(token, origin)
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

    async def _store(self, ticket: Ticket, hashed: PasswordHash) -> int:
        """Store the new hash, and return the version of the row."""
        for _ in range(_MOST_READINGS):
            account = await self._account(ticket)
            version = await self._changes.set_password(
                ticket.user_id, account.password, hashed, self._clock()
            )
            if version is not None:
                return version
        raise AccountChanged(b"")

    async def _account(self, ticket: Ticket) -> Credentials:
        """Read the account of a ticket that has not ended with the account's sessions."""
        account = await self._users.credentials(ticket.user_id)
        if account is None or ticket.row_version < account.user.sessions_from:
            raise InvalidResetToken
        return account
