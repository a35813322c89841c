"""Finds out who the caller of a request is."""

import msgspec

from service.accounts.user_rows import User
from service.accounts.users import Users
from service.errors import InvalidAccessToken, StoreUnavailable
from service.sessions.access_tokens import Caller
from service.sessions.origin import NOBODY
from service.sessions.record import Session
from service.sessions.sessions import Sessions


class Identity(msgspec.Struct, frozen=True):
    """A person, and the session through which they ask."""

    user: User
    session: Session


class Identities:
    """Finds the living session and the account behind a verified access token."""

    def __init__(self, sessions: Sessions, users: Users) -> None:
        self._sessions = sessions
        self._users = users

    async def account_of(self, caller: Caller) -> User | None:
        """Read a caller's account as it is stored, for a change that itself checks their session.

        `None`: by the account alone the caller is to be refused, in the words of `of`, which
        looks at the session first.

        Raises:
            InvalidAccessToken: the user store is away, and the session has ended anyway.
            StoreUnavailable
        """
        try:
            user = await self._users.get(caller.user_id, None)
        except StoreUnavailable:
            await self._sessions.current(caller)
            raise
        if user is None or user.disabled_at is not None or user.two_fa_enabled:
            return None
        return user

    async def of(self, caller: Caller, *, as_stored: bool = False) -> Identity:
        """Find the caller's session, and their account, as current as the version noted in Redis.

        `as_stored`: ask the user store in any case, for what is about to change the account.

        Raises:
            InvalidAccessToken: the session has ended, or was opened before what has ended the
                account's sessions; the account is disabled or there is none any more.
            StoreUnavailable
        """
        session = await self._sessions.current(caller)
        user = await self._users.get(caller.user_id, None if as_stored else session.user_version)
        if user is None:
            raise InvalidAccessToken
        if user.disabled_at is not None:
            await self._sessions.cut_offs.end_all(user.id, NOBODY, reason="disabled")
            raise InvalidAccessToken
        if session.row_version < user.sessions_from:
            since = user.sessions_from
            await self._sessions.cut_offs.end_older(user.id, since, NOBODY, reason="accountChanged")
            raise InvalidAccessToken
        return Identity(user, session)
