"""The use cases of a caller's own sessions: read, list, log out, end others."""

from service.errors import (
    InvalidAccessToken,
    InvalidRefreshToken,
    KeyServiceUnavailable,
    NothingToRevoke,
    SessionNotFound,
    TooManyAttempts,
)
from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.sessions import scripts
from service.sessions.access_tokens import Caller
from service.sessions.cut_offs import CutOffs, FeedKinds
from service.sessions.origin import RequestOrigin
from service.sessions.owner import Owner, Owners
from service.sessions.record import Session, read
from service.sessions.refresh_tokens import RefreshToken, RefreshTokens

_MINUTE = 60_000
"""Once in so many ms it is told that somebody has logged out everywhere too often."""


class OwnSessions:
    """Reads and ends a caller's sessions. Any method may raise `StoreUnavailable`."""

    def __init__(
        self,
        redis: RedisClient,
        owners: Owners,
        refresh_tokens: RefreshTokens,
        feed_life: int,
        feed_kinds: FeedKinds,
    ) -> None:
        """Take the stores. `feed_life`: how long the feed keeps the end of a session, in ms."""
        self.cut_offs = CutOffs(redis, feed_life, feed_kinds)
        self._feed_kinds = feed_kinds
        self._redis = redis
        self._owners = owners
        self._refresh_tokens = refresh_tokens
        self._feed_life = feed_life

    @property
    def feed_life(self) -> int:
        """How long the feed keeps the end of a session, in ms."""
        return self._feed_life

    async def log_out(self, caller: Caller, presented: str, origin: RequestOrigin) -> bytes:
        """End the session of a refresh token of the caller's, spent or not. Return its id.

        Raises:
            NothingToRevoke: unknown, malformed, expired, revoked, another's: one answer.
        """
        token = await self.recognise_to_end(presented)
        if token.user_id != caller.user_id:
            raise NothingToRevoke
        if not await self.end(token.user_id, token.session_id, origin, token.digest):
            raise NothingToRevoke
        return token.session_id

    async def recognise_to_end(self, presented: str) -> RefreshToken:
        """Recognise the refresh token of a session that is to end, also while keys are closed.

        Raises:
            NothingToRevoke: it is none of ours, or, as far as that is known, of no living session.
        """
        try:
            return self._refresh_tokens.recognise(presented)
        except InvalidRefreshToken:
            raise NothingToRevoke from None
        except KeyServiceUnavailable:
            return await self._recognise_by_record(presented)

    async def end(
        self, user_id: bytes, session_id: bytes, origin: RequestOrigin, presented: bytes = b""
    ) -> int:
        """End a session, and return how many have ended: 0 if there is none any more.

        `presented`: the digest of a refresh token of it, where there is one.
        """
        number: int = await scripts.end(
            self._redis,
            user_id,
            origin,
            session_id=session_id,
            session_hex=session_id.hex(),
            presented=presented,
            feed_life=self._feed_life,
        )
        self._redis.fence.note(user_id, number, session_id)
        return int(number > 0)

    async def _recognise_by_record(self, presented: str) -> RefreshToken:
        """Recognise a token without the MAC keys: Redis has the digest of each session's latest.

        Raises:
            NothingToRevoke: the session that it names does not live.
            KeyServiceUnavailable: it is not the latest. It may be a spent one; only the MAC tells.
        """
        token = self._refresh_tokens.read(presented)
        index = bucket(token.user_id).index + token.user_id
        digest = await self._redis.execute("HGET", index, token.session_id)
        if digest is None:
            raise NothingToRevoke
        if digest != token.digest:
            raise KeyServiceUnavailable("the keys of refresh tokens are not open yet")
        return token

    async def current(self, caller: Caller) -> Session:
        """Read the caller's own session.

        Raises:
            InvalidAccessToken: it has ended.
        """
        keys = bucket(caller.user_id)
        answer = await scripts.read(
            self._redis,
            index=keys.index + caller.user_id,
            tag=keys.tag,
            session_id=caller.session_id,
        )
        if answer is None:
            raise InvalidAccessToken
        return read(caller.user_id, caller.session_id, *answer)

    async def all_of(self, caller: Caller, origin: RequestOrigin) -> list[Session]:
        """List the caller's living sessions, newest first.

        Raises:
            InvalidAccessToken: the caller's own has ended, or the user is gone.
        """
        owner = await self._owner(caller.user_id, origin)
        keys = bucket(caller.user_id)
        rows = await scripts.list_all(
            self._redis,
            index=keys.index + caller.user_id,
            tag=keys.tag,
            caller=caller.session_id,
        )
        if rows is None:
            raise InvalidAccessToken
        sessions = [read(caller.user_id, *row) for row in rows]
        if any(session.row_version < owner.sessions_from for session in sessions):
            sessions = await self._without_older(caller, sessions, owner.sessions_from, origin)
        return sorted(sessions, key=lambda session: (session.opened_at, session.id), reverse=True)

    async def count(self, user_id: bytes) -> int:
        """Count the living sessions of a user."""
        keys = bucket(user_id)
        living: int = await scripts.count(self._redis, index=keys.index + user_id, tag=keys.tag)
        return living

    async def revoke(self, caller: Caller, session_id: bytes, origin: RequestOrigin) -> None:
        """End one of the caller's sessions by its id.

        Raises:
            InvalidAccessToken: the caller's own has ended.
            SessionNotFound: the caller has no such session.
        """
        owner = await self._owner(caller.user_id, origin)
        outcome = await scripts.revoke(
            self._redis,
            caller.user_id,
            origin,
            caller=caller.session_id,
            since=owner.sessions_from,
            session_id=session_id,
            feed_life=self._feed_life,
        )
        if outcome == b"unauthenticated":
            raise InvalidAccessToken
        if outcome == b"unknown":
            raise SessionNotFound
        self._redis.fence.note(caller.user_id, outcome, session_id)

    async def revoke_all(self, caller: Caller, keep_current: bool, origin: RequestOrigin) -> int:
        """End all sessions of the caller, or all others, and return how many have ended.

        Raises:
            InvalidAccessToken: the caller's own had ended before.
            TooManyAttempts: it was called too often just now; nothing has ended.
        """
        owner = await self._owner(caller.user_id, origin)
        outcome: list[int] = await scripts.revoke_all(
            self._redis,
            caller.user_id,
            origin,
            caller=caller.session_id,
            since=owner.sessions_from,
            keep_own=int(keep_current),
            kinds=self._feed_kinds,
            feed_life=self._feed_life,
        )
        if len(outcome) == 1:
            reached = [("logout-all", caller.user_id, _MINUTE)]
            raise TooManyAttempts(-(-outcome[0] // 1000), (), reached)
        ended, number = outcome
        if ended < 0:
            raise InvalidAccessToken
        self._redis.fence.note(caller.user_id, number, caller.user_id)
        return ended

    async def _without_older(
        self, caller: Caller, sessions: list[Session], since: int, origin: RequestOrigin
    ) -> list[Session]:
        """End the sessions that were opened by a row from before `since`, and leave them out."""
        await self.cut_offs.end_older(caller.user_id, since, origin, reason="accountChanged")
        counting = [session for session in sessions if session.row_version >= since]
        if caller.session_id not in (session.id for session in counting):
            raise InvalidAccessToken
        return counting

    async def _owner(self, user_id: bytes, origin: RequestOrigin) -> Owner:
        """Ask for the user. Of one who is gone or disabled all sessions end, and it is refused."""
        owner = await self._owners(user_id)
        if owner.exists and not owner.disabled:
            return owner
        await self._end_all_without_account(user_id, owner, origin)
        raise InvalidAccessToken

    async def _end_all_without_account(
        self, user_id: bytes, owner: Owner, origin: RequestOrigin
    ) -> None:
        reason = "disabled" if owner.exists else "userGone"
        await self.cut_offs.end_all(user_id, origin, reason=reason)
