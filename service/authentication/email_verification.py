"""Verifying an address: whoever reads the mail to it has it.

The ticket is bound to the address, so that it dies with a change of that; of a sign-up that waits
for it, to that sign-up's password, too: the newest link counts, with its password.
"""

from datetime import timedelta

import msgspec

from service.accounts.email_changes import EmailChanges
from service.accounts.passwords import PasswordHash
from service.accounts.user_rows import User
from service.accounts.users import Users
from service.authentication.email_scripts import publish_row
from service.authentication.identity import Identities
from service.clock import Clock
from service.errors import AlreadyVerified, InvalidVerificationToken, MailOff, TicketNotFound
from service.mail.outbox import Told
from service.mail.ticket_mails import TicketMail, TicketMails
from service.rate_limits import RateLimits
from service.redis.client import RedisClient
from service.sessions.access_tokens import Caller
from service.sessions.cut_offs import CutOffs
from service.sessions.origin import RequestOrigin
from service.tickets.tickets import Tickets
from service.tickets.tokens import EMAIL_VERIFICATION

VERIFICATION_LIFE = timedelta(hours=24)


class _Bound(msgspec.Struct, frozen=True, array_like=True):
    address: str
    scheme: int = 0
    hash: str = ""


def verification_mail(address: str, event: str, password: PasswordHash | None = None) -> TicketMail:
    """Make the mail by which an address is verified; `password`: of a sign-up that waits for it."""
    bound = _Bound(address)
    if password is not None:
        bound = _Bound(address, password.scheme, password.value)
    return TicketMail(
        kind="verify",
        purpose=EMAIL_VERIFICATION,
        life=VERIFICATION_LIFE,
        bound=msgspec.msgpack.encode(bound),
        told=Told(event),
    )


class EmailVerification:
    """Mails links by which an address is verified, and takes them. May raise `StoreUnavailable`."""

    def __init__(
        self,
        redis: RedisClient,
        identities: Identities,
        users: Users,
        changes: EmailChanges,
        cut_offs: CutOffs,
        tickets: Tickets,
        mails: TicketMails | None,
        rate_limits: RateLimits,
        clock: Clock,
    ) -> None:
        self._redis = redis
        self._identities = identities
        self._users = users
        self._changes = changes
        self._cut_offs = cut_offs
        self._tickets = tickets
        self._mails = mails
        self._rate_limits = rate_limits
        self._clock = clock

    async def request(self, caller: Caller, origin: RequestOrigin) -> timedelta:
        """Mail the caller a link, unless they have had many. Return how long it is good.

        Raises:
            InvalidAccessToken
            AlreadyVerified
            TooManyAttempts: such calls.
            MailOff
        """
        user = (await self._identities.of(caller, as_stored=True)).user
        if user.email_verified_at is not None:
            raise AlreadyVerified
        if self._mails is not None:
            await self._rate_limits.count_call(user.id, "verify")
        await self.mail(user, origin)
        return VERIFICATION_LIFE

    async def mail(self, user: User, origin: RequestOrigin) -> None:
        """Mail a link to an account's address.

        Raises:
            MailOff
        """
        if self._mails is None:
            raise MailOff
        mail = verification_mail(user.email, "user.verificationRequested")
        await self._mails.send(mail, user, user.email, origin)

    async def verify(self, text: str, origin: RequestOrigin) -> User:
        """Note that the address is verified to which the token `text` was mailed.

        Raises:
            InvalidVerificationToken: it is none, is used, over, replaced, or of another address.
        """
        try:
            ticket = await self._tickets.take(
                self._tickets.recognise(text, EMAIL_VERIFICATION), VERIFICATION_LIFE, origin
            )
        except TicketNotFound:
            raise InvalidVerificationToken from None
        user_id, bound = ticket.user_id, msgspec.msgpack.decode(ticket.bound, type=_Bound)
        owner = await self._users.get(user_id, None)
        if owner is None or ticket.row_version < owner.sessions_from:
            raise InvalidVerificationToken
        password = PasswordHash(bound.scheme, bound.hash) if bound.hash else None
        await self._cut_offs.announce(user_id, origin)
        version = await self._changes.verify(user_id, bound.address, self._clock(), password)
        if version is None:
            await self._cut_offs.call_off(user_id, origin)
            raise InvalidVerificationToken
        await publish_row(
            self._redis, user_id, origin, row_version=version, event="user.emailVerified"
        )
        user = await self._users.get(user_id, version)
        if user is None:  # deleted a moment ago
            raise InvalidVerificationToken
        return user
