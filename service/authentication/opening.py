"""Opening a session by a user row that may have changed since it was read."""

from collections.abc import Callable

from service.accounts.user_rows import Credentials, User
from service.accounts.users import Users
from service.errors import AccountChanged
from service.sessions.origin import RequestOrigin
from service.sessions.record import Authentication
from service.sessions.row_version import is_changing
from service.sessions.sessions import OpeningEvent, Sessions
from service.sessions.token_pair import TokenPair

_MOST_TRIES = 5


class SessionOpening:
    """Opens sessions by user rows of which Redis confirms the version.

    Redis notes the version of each user row, or that it is changing (`row_version.py`). Where
    they differ, the row is read again. If it still differs from what Redis had noted before,
    the user store has gone back (it was restored), and is right: so nobody is locked out. While the
    row is changing, nobody can say whether the change was written before the session was opened: it
    is looked up afterwards, and the session is withdrawn if it was.
    """

    def __init__(self, users: Users, sessions: Sessions) -> None:
        self._users = users
        self._sessions = sessions

    async def open(
        self,
        read: Credentials,
        version: int,
        is_right: Callable[[Credentials], bool],
        authentication: Authentication,
        origin: RequestOrigin,
        event: OpeningEvent = "user.loggedIn",
    ) -> tuple[User, TokenPair] | None:
        """Open a session for the user whose row was `read`, at `version`.

        Returns `None` if the row has changed so that it `is_right` no more.

        Raises:
            AccountChanged: it does not come to rest.
            ClockWrong, StoreUnavailable
        """
        noted = b""
        for _ in range(_MOST_TRIES):
            try:
                tokens = await self._sessions.open(
                    read.user.id, authentication, event, origin, version, noted=noted
                )
            except AccountChanged as changed:
                noted = changed.noted
            else:
                if not is_changing(noted):
                    return read.user, tokens
                now = await self._users.credentials(read.user.id)
                if now is not None and is_right(now):
                    return now.user, tokens
                await self._sessions.withdraw(read.user.id, tokens, origin)
                return None
            now = await self._users.credentials(read.user.id)
            if now is None or not is_right(now):
                return None
            read, version = now, now.user.version
        raise AccountChanged(noted)
