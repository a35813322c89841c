"""Changing the password: it ends all sessions and open logins of before, and opens a new session.

The order is such that a process that is killed anywhere leaves either the old password with its
sessions, or the new one without them:

1. Announce the change: from now on whoever is asked about a session asks the user store.
2. Store the new hash. The same statement says that sessions of older versions of the row have
   ended.
3. End the sessions, for guards as well, and publish the version.
4. Open the new session by that version.
"""

import asyncio
from functools import partial

from service.accounts import emails
from service.accounts.account_changes import AccountChanges
from service.accounts.folding import normal
from service.accounts.password_policy import PasswordPolicy, check_length
from service.accounts.passwords import PasswordHash, Passwords
from service.accounts.user_rows import Credentials
from service.accounts.users import Users
from service.authentication.identity import Identities, Identity
from service.authentication.opening import SessionOpening
from service.authentication.password import LoggedIn
from service.authentication.password_attempts import PasswordAttempts
from service.authentication.recent import RecentAuthentication
from service.clock import Clock
from service.errors import (
    AccountChanged,
    InvalidAccessToken,
    InvalidPassword,
    NoPassword,
    PasswordUnchanged,
)
from service.mail.notices import NO_NOTICES, Notices
from service.sessions.access_tokens import Caller
from service.sessions.cut_offs import CutOffs
from service.sessions.origin import RequestOrigin

_MOST_READINGS = 3
"""How often an account is read that changes meanwhile, again and again."""


class PasswordChange:
    """Changes passwords. May raise `StoreUnavailable` or `Overloaded`."""

    def __init__(
        self,
        identities: Identities,
        recent: RecentAuthentication,
        users: Users,
        passwords: Passwords,
        policy: PasswordPolicy,
        attempts: PasswordAttempts,
        changes: AccountChanges,
        cut_offs: CutOffs,
        opening: SessionOpening,
        clock: Clock,
        notices: Notices = NO_NOTICES,
    ) -> None:
        self._identities = identities
        self._recent = recent
        self._users = users
        self._passwords = passwords
        self._policy = policy
        self._attempts = attempts
        self._changes = changes
        self._cut_offs = cut_offs
        self._opening = opening
        self._clock = clock
        self._notices = notices

    async def change(
        self, caller: Caller, current: str, new: str, origin: RequestOrigin
    ) -> LoggedIn:
        """Replace the password `current` by `new`, and return the only session that lives then.

        Raises:
            InvalidAccessToken: the caller's session has ended, at the latest by another change.
            InvalidTarget: the session's audience is none any more.
            AuthenticationNotRecent: a second factor is on, and was not proved a short while ago.
            InvalidField: the new one is too long.
            NoPassword: the account has none.
            TooManyAttempts, InvalidPassword: as at login.
            WeakPassword, PasswordUnchanged
        """
        identity = await self._identities.of(caller, as_stored=True)
        audience = self._opening.audience_of(identity.session)
        if identity.user.two_fa_enabled:
            await self._recent.demand(identity)
        check_length(new, "newPassword")
        place = self._attempts.place(origin)
        for _ in range(_MOST_READINGS):
            account = await self._account(identity)
            self._passwords.check_room(place)
            async with self._attempts.limited(emails.lookup_key(account.user.email), origin):
                if not await self._passwords.verify(current, account.password, place):
                    raise InvalidPassword
            # It may read a large file.
            await asyncio.to_thread(self._policy.check, new, account.user.email)
            if normal(new) == normal(current):
                raise PasswordUnchanged
            hashed = await self._passwords.hash(new, place)
            version = await self._store(account, hashed, origin)
            if version is not None:
                self._notices.tell("password_changed", account.user, origin)
                return await self._open(identity, account, hashed, origin, audience)
        raise AccountChanged(b"")

    async def _account(self, identity: Identity) -> Credentials:
        account = await self._users.credentials(identity.user.id)
        if account is None:  # deleted a moment ago
            raise InvalidAccessToken
        if identity.session.row_version < account.user.sessions_from:  # ended a moment ago
            raise InvalidAccessToken
        if account.password.is_none:
            raise NoPassword
        return account

    async def _store(
        self, account: Credentials, hashed: PasswordHash, origin: RequestOrigin
    ) -> int | None:
        """Store the new hash and end all sessions. Return the row's version.

        `None`: the hash that was checked is not stored any more, or the account's sessions have
        ended, and nothing was changed. The hash may have been renewed by a login.
        """
        user_id = account.user.id
        await self._cut_offs.announce(user_id, origin)
        version = await self._changes.set_password(
            user_id, account.password, hashed, self._clock(), read=account.user
        )
        if version is None:
            await self._cut_offs.call_off(user_id, origin)
            return None
        await self._cut_offs.end_all(user_id, origin, reason="passwordChanged", row_version=version)
        return version

    async def _open(
        self,
        identity: Identity,
        account: Credentials,
        hashed: PasswordHash,
        origin: RequestOrigin,
        audience: str,
    ) -> LoggedIn:
        """Open a session that has proved what the caller's had, for the same audience."""
        proved = identity.session.authentication
        if account.enrolment_id is None:
            proved = proved.without_second_factor
        is_right = partial(_is_as_written, account, hashed)
        now = await self._users.credentials(account.user.id)
        if now is None or not is_right(now):
            raise InvalidAccessToken
        opened = await self._opening.open(
            now,
            now.user.version,
            is_right,
            proved,
            origin,
            event="user.passwordChanged",
            audience=audience,
        )
        if opened is None:
            raise InvalidAccessToken
        return LoggedIn(*opened)


def _is_as_written(account: Credentials, hashed: PasswordHash, now: Credentials) -> bool:
    """Tell whether nothing has changed since that would ask for another login."""
    return (
        now.password == hashed
        and now.enrolment_id == account.enrolment_id
        and now.user.disabled_at is None
    )
