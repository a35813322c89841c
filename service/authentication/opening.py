"""Opening a session by a user row that may have changed since it was read."""

from collections.abc import Callable

from service.accounts.user_rows import Credentials, User
from service.accounts.users import Users
from service.authentication.sign_in_notices import SignInNotices
from service.errors import AccountChanged
from service.sessions.origin import RequestOrigin
from service.sessions.record import Authentication, Session
from service.sessions.row_version import is_changing
from service.sessions.sessions import OpeningEvent, Sessions
from service.sessions.token_pair import TokenPair
from service.sessions.upstream import UpstreamLogin, UpstreamSessions

_MOST_TRIES = 5


class SessionOpening:
    """Opens sessions by user rows of which Redis confirms the version.

    Redis notes the version of each user row, or that it is changing (`row_version.py`). Where
    they differ, the row is read again. If it still differs from what Redis had noted before,
    the user store has gone back (it was restored), and is right: so nobody is locked out. While the
    row is changing, nobody can say whether the change was written before the session was opened: it
    is looked up afterwards, and the session is withdrawn if it was.
    """

    def __init__(
        self,
        users: Users,
        sessions: Sessions,
        sign_ins: SignInNotices | None = None,
    ) -> None:
        """Take the stores. `sign_ins`: what tells people of logins from elsewhere."""
        self._users = users
        self._sessions = sessions
        self._sign_ins = sign_ins

    def check_target(self, resource: str | None) -> None:
        """Refuse a resource that access tokens are asked for, and that is no audience.

        Raises:
            InvalidTarget
        """
        self._sessions.audiences.check(resource)

    def audience_of(self, session: Session) -> str:
        """Return the audience of a session, for another one that takes its place.

        Raises:
            InvalidTarget: it is none any more.
        """
        return self._sessions.audiences.of(session)

    async def open(
        self,
        read: Credentials,
        version: int,
        is_right: Callable[[Credentials], bool],
        authentication: Authentication,
        origin: RequestOrigin,
        event: OpeningEvent = "user.loggedIn",
        *,
        audience: str | None = None,
        session_id: bytes | None = None,
    ) -> tuple[User, TokenPair] | None:
        """Open a session for the user whose row was `read`, at `version`.

        Its access tokens are for this `audience`; `None`: for the default one. Returns `None` if
        the row has changed so that it `is_right` no more.

        Raises:
            InvalidTarget: there is no such audience.
            AccountChanged: it does not come to rest.
            ClockWrong, StoreUnavailable
        """
        notices = self._sign_ins if event == "user.loggedIn" else None
        before = await notices.living(read.user.id) if notices else ()
        opened = await self._open(
            read, version, is_right, authentication, origin, event, audience, session_id
        )
        if notices and opened is not None:
            notices.tell(opened[0], before, origin)
        return opened

    async def _open(
        self,
        read: Credentials,
        version: int,
        is_right: Callable[[Credentials], bool],
        authentication: Authentication,
        origin: RequestOrigin,
        event: OpeningEvent,
        audience: str | None,
        session_id: bytes | None,
    ) -> tuple[User, TokenPair] | None:
        noted = b""
        for _ in range(_MOST_TRIES):
            try:
                tokens = await self._sessions.open(
                    read.user.id,
                    authentication,
                    event,
                    origin,
                    version,
                    noted=noted,
                    audience=audience,
                    session_id=session_id,
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


class UpstreamSessionOpening(SessionOpening):
    """Opens sessions by logins at providers as well, and notes whose sessions those are."""

    def __init__(
        self, users: Users, sessions: Sessions, upstream: UpstreamSessions, sign_ins: SignInNotices
    ) -> None:
        super().__init__(users, sessions, sign_ins)
        self._upstream = upstream

    async def open_upstream(
        self,
        login: UpstreamLogin,
        read: Credentials,
        version: int,
        is_right: Callable[[Credentials], bool],
        authentication: Authentication,
        origin: RequestOrigin,
        event: OpeningEvent = "user.loggedIn",
        *,
        audience: str | None = None,
    ) -> tuple[User, TokenPair] | None:
        """Open a session by a login at a provider, so that it ends when that says so.

        Returns `None` also if the provider has logged out meanwhile. Raises as `open`.
        """
        session_id = self._sessions.audiences.mint_session_id(audience)
        await self._upstream.note(login, read.user.id, session_id)
        opened = await self.open(
            read,
            version,
            is_right,
            authentication,
            origin,
            event,
            audience=audience,
            session_id=session_id,
        )
        if opened is not None and await self._upstream.has_ended(login):
            await self._sessions.withdraw(read.user.id, opened[1], origin)
            return None
        return opened
