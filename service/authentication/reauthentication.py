"""Proving anew, within a session, who its person is: no second session, none that ends."""

from service.accounts import emails
from service.accounts.passwords import Passwords
from service.accounts.user_rows import Credentials
from service.accounts.users import Users
from service.authentication.identity import Identities
from service.authentication.password_attempts import PasswordAttempts
from service.errors import (
    FactorRequired,
    InvalidAccessToken,
    InvalidPassword,
    NotEnabled,
)
from service.rate_limits import RateLimits
from service.sessions.access_tokens import Caller
from service.sessions.origin import RequestOrigin
from service.sessions.record import Authentication
from service.sessions.sessions import Sessions
from service.sessions.token_pair import TokenPair
from service.twofactor.proving import SecondFactorProofs

_CODE_WANTED = "Two-factor authentication is on: send a code, not the password."
_PASSWORD_WANTED = "Two-factor authentication is off: send the password, not a code."  # noqa: S105  a message, no password


class Reauthentication:
    """Renews the proof of identity of a session, by the password or, with 2FA on, by a code.

    Both count against the limits as at login. The access token is for the `resource`, and else for
    the session's audience. Both methods may raise `StoreUnavailable`,
    `Overloaded` or `SealBroken`, and:

        InvalidTarget: it cannot be; nothing was used up.
        InvalidAccessToken: the session has ended.
        InvalidRefreshToken: the refresh token is not one of this session.
        RefreshTokenReused: it was spent and its grace is over; the session has ended by now.
        FactorRequired: the account asks for the other kind of proof.
        TooManyAttempts: of calls, passwords or codes.
    """

    def __init__(
        self,
        identities: Identities,
        users: Users,
        passwords: Passwords,
        attempts: PasswordAttempts,
        proofs: SecondFactorProofs,
        rate_limits: RateLimits,
        sessions: Sessions,
    ) -> None:
        self._identities = identities
        self._users = users
        self._passwords = passwords
        self._attempts = attempts
        self._proofs = proofs
        self._rate_limits = rate_limits
        self._sessions = sessions

    async def by_password(
        self,
        caller: Caller,
        refresh_token: str,
        password: str,
        origin: RequestOrigin,
        resource: str | None = None,
    ) -> TokenPair:
        """Exchange the session's refresh token, the password being right.

        Raises:
            InvalidPassword
        """
        account = await self._account(caller, refresh_token, resource)
        if account.enrolment_id is not None:
            raise FactorRequired(_CODE_WANTED)
        await self._rate_limits.count_call(caller.user_id, "reauthenticate")
        place = self._attempts.place(origin)
        self._passwords.check_room(place)
        async with self._attempts.limited(emails.lookup_key(account.user.email), origin):
            if not await self._passwords.verify(password, account.password, place):
                raise InvalidPassword
        return await self._sessions.reauthenticate(
            caller, refresh_token, Authentication.PASSWORD, origin, resource
        )

    async def by_code(
        self,
        caller: Caller,
        refresh_token: str,
        code: str,
        origin: RequestOrigin,
        resource: str | None = None,
    ) -> TokenPair:
        """Exchange the session's refresh token, the TOTP or recovery code being right.

        Raises:
            InvalidCode
        """
        account = await self._account(caller, refresh_token, resource)
        if account.enrolment_id is None:
            raise FactorRequired(_PASSWORD_WANTED)
        await self._rate_limits.count_call(caller.user_id, "reauthenticate")
        try:
            proved = await self._proofs.prove(caller.user_id, code, origin)
        except NotEnabled:  # turned off a moment ago
            raise FactorRequired(_PASSWORD_WANTED) from None
        return await self._sessions.reauthenticate(caller, refresh_token, proved, origin, resource)

    async def _account(
        self, caller: Caller, refresh_token: str, resource: str | None
    ) -> Credentials:
        """Read the account of a caller whose session lives, and whose refresh token this is."""
        self._sessions.own_token(caller, refresh_token)
        identity = await self._identities.of(caller, as_stored=True)
        if resource is None:
            self._sessions.audiences.of(identity.session)  # refused here, before the proof counts
        else:
            self._sessions.audiences.check(resource)
        account = await self._users.credentials(caller.user_id)
        if account is None:  # deleted a moment ago
            raise InvalidAccessToken
        return account
