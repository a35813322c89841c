"""What mail has to do with signing up: a link after it, or before anything, or nothing."""

from collections.abc import Callable

import structlog

from service.accounts.user_rows import User
from service.authentication.email_verification import EmailVerification
from service.authentication.pending_sign_ups import PendingSignUps
from service.errors import ServiceError
from service.sessions.origin import RequestOrigin

log = structlog.get_logger()


def _no_locale(accepted: str) -> str:
    """Choose none."""
    return ""


class SignUpMails:
    """How addresses are verified at a sign-up. `pending` is there where that comes first."""

    def __init__(
        self,
        pending: PendingSignUps | None = None,
        verification: EmailVerification | None = None,
        locale: Callable[[str], str] = _no_locale,
    ) -> None:
        """Take what mails. `verification`: a link is mailed after each sign-up. `locale` chooses
        the language of a person's mails by the value of `Accept-Language`."""
        self.pending = pending
        self.locale = locale
        self._verification = verification

    async def after(self, user: User, origin: RequestOrigin) -> None:
        """Mail a link to somebody who has just signed up; they can ask for another."""
        if self._verification is None:
            return
        try:
            await self._verification.mail(user, origin)
        except ServiceError as error:
            log.warning("mail not kept", kind="verify", reason=str(error))


NO_SIGN_UP_MAILS = SignUpMails()
