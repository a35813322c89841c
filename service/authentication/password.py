"""Sign-up and login with e-mail and password."""

import asyncio
from contextlib import suppress
from functools import partial

import msgspec

from service.accounts import emails
from service.accounts.password_policy import PasswordPolicy
from service.accounts.passwords import PasswordHash, Passwords
from service.accounts.user_rows import Credentials, User
from service.accounts.users import Users
from service.authentication.opening import SessionOpening
from service.authentication.password_attempts import PasswordAttempts
from service.authentication.sign_in_notices import SignInNotices
from service.authentication.sign_up_mails import NO_SIGN_UP_MAILS, SignUpMails
from service.clock import Clock
from service.errors import (
    AccountChanged,
    AccountDisabled,
    EmailNotVerified,
    EmailTaken,
    InvalidCredentials,
    Overloaded,
    StoreUnavailable,
)
from service.rate_limits import RateLimits
from service.sessions.origin import RequestOrigin
from service.sessions.record import Authentication
from service.sessions.sessions import Sessions
from service.sessions.token_pair import TokenPair
from service.twofactor.challenges import Challenges, Issued

_MOST_READINGS = 3
"""How often an account is read that changes while somebody logs in, again and again."""


class LoggedIn(msgspec.Struct, frozen=True):
    """A person and the tokens of the session that they have just opened."""

    user: User
    tokens: TokenPair


class PasswordAuthentication:
    """Sign-up and login by password. Both may raise `StoreUnavailable` or `Overloaded`."""

    def __init__(
        self,
        users: Users,
        passwords: Passwords,
        policy: PasswordPolicy,
        rate_limits: RateLimits,
        attempts: PasswordAttempts,
        sessions: Sessions,
        challenges: Challenges,
        clock: Clock,
        sign_up_mails: SignUpMails = NO_SIGN_UP_MAILS,
        sign_ins: SignInNotices | None = None,
    ) -> None:
        self._users = users
        self._passwords = passwords
        self._policy = policy
        self._rate_limits = rate_limits
        self._attempts = attempts
        self._sessions = sessions
        self._opening = SessionOpening(users, sessions, sign_ins=sign_ins)
        self._challenges = challenges
        self._clock = clock
        self._sign_up_mails = sign_up_mails

    async def sign_up(
        self, email: str, password: str, origin: RequestOrigin, resource: str | None = None
    ) -> LoggedIn | None:
        """Add an account and open its first session, whose access tokens are for `resource`.

        `None`: the address is to be verified first, whosever it is. Tries are limited per network,
        and counted before the account is looked up: the answer "taken" tells who has an account.

        Raises:
            InvalidTarget, InvalidField, WeakPassword, EmailTaken, TooManyAttempts
        """
        self._opening.check_target(resource)
        place = self._attempts.place(origin)
        self._passwords.check_room(place)
        address = emails.normalize(email)
        await asyncio.to_thread(self._policy.check, password, email)  # it may read a large file
        await self._attempts.count_network(self._rate_limits.limits.signups, origin)
        locale, pending = self._sign_up_mails.locale(origin.languages), self._sign_up_mails.pending
        if pending is not None:
            password_hash = await self._passwords.hash(password, place)
            await pending.sign_up(address, password_hash, locale, origin)
            return None
        if await self._users.find_by_email(address.key):
            raise EmailTaken
        password_hash = await self._passwords.hash(password, place)
        user = await self._users.add(address, password_hash, self._clock(), locale)
        tokens = await self._sessions.open(
            user.id, Authentication.PASSWORD, "user.signedUp", origin, audience=resource
        )
        await self._sign_up_mails.after(user, origin)
        return LoggedIn(user, tokens)

    async def log_in(
        self, email: str, password: str, origin: RequestOrigin, resource: str | None = None
    ) -> LoggedIn | Issued:
        """Check a password, then open a session, or a challenge where a second factor is on.

        The session's access tokens are for `resource`, an audience; `None`: for the default one.
        Unknown e-mail and wrong password are one answer. That an account is disabled is told to
        whoever has its password.

        Raises:
            InvalidTarget
            InvalidCredentials, TooManyAttempts, AccountDisabled, EmailNotVerified
        """
        self._opening.check_target(resource)
        place = self._attempts.place(origin)
        self._passwords.check_room(place)
        key = emails.lookup_key(email)
        async with self._attempts.limited(key, origin):
            credentials = await self._users.find_by_email(key)
            stored = credentials.password if credentials else None
            right = await self._passwords.verify(password, stored, place)
            if credentials is None or not right:
                known = credentials.user.id if credentials else b""
                raise InvalidCredentials().about(known)
        await self._renew_hash(credentials, password, place)
        return await self._open(credentials, password, place, origin, resource)

    async def _open(
        self,
        credentials: Credentials,
        password: str,
        place: str,
        origin: RequestOrigin,
        audience: str | None,
    ) -> LoggedIn | Issued:
        """Open a session, or a challenge, by the row as it is now: it may have changed while the
        password was hashed."""
        for _ in range(_MOST_READINGS):
            if credentials.user.disabled_at is not None:
                raise AccountDisabled().about(credentials.user.id)
            if self._sign_up_mails.pending and credentials.user.email_verified_at is None:
                raise EmailNotVerified().about(credentials.user.id)
            if credentials.enrolment_id is not None:
                return await self._challenges.issue(
                    credentials.user.id,
                    credentials.enrolment_id,
                    credentials.user.version,
                    audience=audience,
                )
            opened = await self._opening.open(
                credentials,
                credentials.user.version,
                partial(_same_password_alone, credentials.password),
                Authentication.PASSWORD,
                origin,
                audience=audience,
            )
            if opened is not None:
                return LoggedIn(*opened)
            current = await self._users.credentials(credentials.user.id)
            if current is None:
                raise InvalidCredentials
            # Another hash may be of the same password.
            if current.password != credentials.password and not await self._passwords.verify(
                password, current.password, place
            ):
                raise InvalidCredentials
            credentials = current
        raise AccountChanged(b"")

    async def _renew_hash(self, credentials: Credentials, password: str, place: str) -> None:
        """Bring a hash up to today's cost and pepper, now that the password is at hand."""
        if not self._passwords.outdated(credentials.password):
            return
        with suppress(Overloaded, StoreUnavailable):  # at the next login, then
            renewed = await self._passwords.renew(password, credentials.password, place)
            await self._users.replace_password_hash(
                credentials.user.id, credentials.password, renewed
            )


def _same_password_alone(password: PasswordHash, now: Credentials) -> bool:
    """Tell whether the account still lets one in by this password, and by nothing else besides."""
    return now.enrolment_id is None and now.user.disabled_at is None and now.password == password
