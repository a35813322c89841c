"""Sign-ups where addresses are verified first: nobody is told whether an address has an account.

Whoever signs up gets one answer, after the same steps: a row is looked up, one is written, a mail
is kept. A sign-up that nobody has verified yields to the next one for its address: then the newest
link counts, and the password that was sent with it.
"""

from service.accounts.email_changes import EmailChanges
from service.accounts.emails import EmailAddress
from service.accounts.passwords import PasswordHash
from service.accounts.user_rows import User
from service.accounts.users import Users
from service.authentication.email_verification import verification_mail
from service.authentication.password_attempts import account_subject
from service.clock import Clock
from service.errors import EmailTaken
from service.mail.ticket_mails import TicketMails
from service.rate_limits import RateLimits
from service.sessions.origin import RequestOrigin

_EVENT = "user.signUpPending"


class PendingSignUps:
    """Takes sign-ups that wait for a mail to be read. May raise `StoreUnavailable`."""

    def __init__(
        self,
        users: Users,
        changes: EmailChanges,
        mails: TicketMails,
        rate_limits: RateLimits,
        clock: Clock,
    ) -> None:
        self._users = users
        self._changes = changes
        self._mails = mails
        self._rate_limits = rate_limits
        self._clock = clock

    async def sign_up(
        self, address: EmailAddress, password: PasswordHash, locale: str, origin: RequestOrigin
    ) -> None:
        """Add an account that waits, or whatever else is to be done for its address."""
        found = await self._users.find_by_email(address.key)
        user = found.user if found else await self._add(address, password, locale)
        if user is None:  # another's of a short while ago, whom nobody writes to
            await self._pretend(address, origin)
        elif user.disabled_at is not None:
            await self._changes.touch(user.id)
            await self._pretend(address, origin)
        elif user.awaits_verification and user.email_verified_at is None:
            mail = verification_mail(user.email, _EVENT, password)
            sent = await self._mails.send(mail, user, user.email, origin)
            if found is not None and sent is not None:
                await self._changes.replace_pending(user.id, password)
            elif found is not None:
                await self._changes.touch(user.id)
        else:
            await self._changes.touch(user.id)
            await self._mails.tell_owner(user, "account_exists", origin)

    async def _add(self, address: EmailAddress, password: PasswordHash, locale: str) -> User | None:
        try:
            return await self._users.add(
                address, password, self._clock(), locale, awaits_verification=True
            )
        except EmailTaken:  # by whoever was faster, a moment ago
            found = await self._users.find_by_email(address.key)
            return found.user if found else None

    async def _pretend(self, address: EmailAddress, origin: RequestOrigin) -> None:
        stand_in = account_subject(self._rate_limits, address.key)
        await self._mails.pretend(verification_mail("", _EVENT), stand_in, origin)
