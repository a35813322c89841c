"""The use cases that exchange a refresh token for its successor: refresh and reauthenticate."""

from datetime import timedelta
from typing import NoReturn

import msgspec

from service.errors import (
    ClockWrong,
    InvalidRefreshToken,
    InvalidTarget,
    RefreshTokenReused,
    StoreUnavailable,
    TooManyAttempts,
)
from service.redis.client import RedisClient
from service.redis.keys import FEED_SKEW
from service.sessions import scripts
from service.sessions.access_tokens import AccessTokens, Caller
from service.sessions.cut_offs import FeedKinds
from service.sessions.origin import RequestOrigin
from service.sessions.own_sessions import OwnSessions
from service.sessions.owner import Owner, Owners
from service.sessions.record import Authentication, Session, read
from service.sessions.refresh_tokens import (
    RefreshToken,
    RefreshTokens,
    open_successor,
    seal_successor,
)
from service.sessions.token_pair import TokenPair

_NOTHING = Authentication(0)
_MINUTE = 60_000
"""Once in so many ms it is told that a session was refreshed too often."""


class Lives(msgspec.Struct, frozen=True):
    """Lives: of a session since it was opened, and since its last refresh; of the grace."""

    absolute: timedelta
    idle: timedelta
    grace: timedelta


class SessionRotation(OwnSessions):
    """Rotates the refresh tokens of sessions. Any method may raise `StoreUnavailable`."""

    def __init__(
        self,
        redis: RedisClient,
        refresh_tokens: RefreshTokens,
        access_tokens: AccessTokens,
        lives: Lives,
        owners: Owners,
        feed_kinds: FeedKinds,
    ) -> None:
        # Once for a guard to know what may still matter, once more for its clock to be behind.
        feed_life = _ms(timedelta(seconds=access_tokens.life) + 2 * FEED_SKEW)
        super().__init__(redis, owners, refresh_tokens, feed_life, feed_kinds)
        self._access_tokens = access_tokens
        self.audiences = access_tokens.audiences
        self._idle, self._absolute = _ms(lives.idle), _ms(lives.absolute)
        self._grace = _ms(lives.grace)

    async def refresh(
        self, presented: str, origin: RequestOrigin, resource: str | None = None
    ) -> TokenPair:
        """Spend a refresh token for its successor.

        The access token is for this `resource`, and else for the session's own audience, which
        stays as it is (RFC 8707, section 2.2).

        Within the grace, whoever presents the same spent token gets the same successor. A user who
        is not there any more, or is disabled, has no sessions: all end. While the user's row
        changes, nothing is rotated before the user store has said that the session counts.

        Raises:
            InvalidTarget: there are no tokens for this resource, or not for the session's audience
                any more. The token is not spent.
            InvalidRefreshToken: not one of ours, its session lives no more, or its user is gone.
            ClockWrong: nothing that this process signs would be valid. The token is not spent.
            RefreshTokenReused: spent before; its session has ended by now.
            TooManyAttempts: the session was refreshed too often just now; the token stays good.
        """
        self.audiences.check(resource)
        token = self._refresh_tokens.recognise(presented)
        return await self._exchange(token, _NOTHING, origin, resource)

    async def reauthenticate(
        self,
        caller: Caller,
        presented: str,
        proved: Authentication,
        origin: RequestOrigin,
        resource: str | None = None,
    ) -> TokenPair:
        """Rotate the caller's session and note that the person has `proved` who they are just now.

        `presented` is the session's refresh token; a spent one is treated as at refresh.

        Raises:
            InvalidRefreshToken: it is not, or its session lives no more.
            InvalidTarget, ClockWrong, RefreshTokenReused, TooManyAttempts: as `refresh`.
        """
        self.audiences.check(resource)
        return await self._exchange(self.own_token(caller, presented), proved, origin, resource)

    def own_token(self, caller: Caller, presented: str) -> RefreshToken:
        """Read a refresh token of the caller's own session.

        Raises:
            InvalidRefreshToken: it is not one of ours, or another session's.
        """
        token = self._refresh_tokens.recognise(presented)
        if (token.user_id, token.session_id) != (caller.user_id, caller.session_id):
            raise InvalidRefreshToken("the token is another session's").about(token.user_id)
        return token

    async def _exchange(
        self,
        token: RefreshToken,
        proved: Authentication,
        origin: RequestOrigin,
        resource: str | None,
    ) -> TokenPair:
        asked = self._owners(token.user_id)  # answered while Redis rotates
        target = resource is not None or self.audiences.named_by(token.session_id) is not None
        rotated = await self._rotate(token, proved, origin, target=target, sure=False)
        if rotated is None:
            owner = await self._owners(token.user_id)
            if not owner.is_known:
                raise StoreUnavailable("the account is changing, and the user store is away")
            await self._refuse_without_account(token.user_id, owner, origin)
            rotated = await self._rotate(token, proved, origin, target=target, sure=True)
            assert rotated is not None  # noqa: S101  the script waits for nobody who is sure
        else:
            owner = await asked
            await self._refuse_without_account(token.user_id, owner, origin)
        now_valid, record, expires_at = rotated
        session = read(token.user_id, token.session_id, record, expires_at)
        if session.row_version < owner.sessions_from:
            await self._refuse_older(token.user_id, owner.sessions_from, origin)
        return self._signed(now_valid, _as_owned(session, owner), resource)

    async def _refuse_without_account(
        self, user_id: bytes, owner: Owner, origin: RequestOrigin
    ) -> None:
        if owner.exists and not owner.disabled:
            return
        await self._end_all_without_account(user_id, owner, origin)
        raise InvalidRefreshToken("the account is gone or disabled").about(user_id)

    async def _refuse_older(self, user_id: bytes, since: int, origin: RequestOrigin) -> NoReturn:
        await self.cut_offs.end_older(user_id, since, origin, reason="accountChanged")
        raise InvalidRefreshToken("the account has changed").about(user_id)

    def _signed(
        self, token: RefreshToken, session: Session, resource: str | None = None
    ) -> TokenPair:
        access_token, expires_in = self._access_tokens.mint(session, resource)
        return TokenPair(
            access_token=access_token,
            refresh_token=token.text,
            expires_in=expires_in,
            session_id=token.session_id,
            lasts=int((session.expires_at - session.last_used_at).total_seconds()),
        )

    async def _rotate(
        self,
        token: RefreshToken,
        proved: Authentication,
        origin: RequestOrigin,
        *,
        target: bool,
        sure: bool,
    ) -> tuple[RefreshToken, bytes, int] | None:
        """Spend `token`. Return the one that is valid now, and the session's record and end.

        `target`: it is known whom the access token is for, also of a session with an audience.
        `sure`: also while the user's row changes; else nothing happens then, and it returns `None`.
        """
        successor = self._refresh_tokens.mint(token.user_id, token.session_id, token.generation + 1)
        clock, valid_until = self._access_tokens.window()
        answer = await scripts.rotate(
            self._redis,
            token.user_id,
            origin,
            session_id=token.session_id,
            session_hex=token.session_id.hex(),
            presented=token.digest,
            presented_generation=token.generation,
            next_digest=successor.digest,
            sealed=seal_successor(token, successor),
            device=origin.packed(),
            idle_life=self._idle,
            grace=self._grace,
            clock=clock,
            valid_until=valid_until,
            proved=int(proved) or "",
            target=int(target),
            sure=int(sure),
            feed_life=self._feed_life,
        )
        match answer:
            case bytes():
                return successor, answer[6:], int.from_bytes(answer[:6])
            case [b"handoff", record, expires_at, sealed]:
                return open_successor(token, sealed), record, expires_at
            case [b"changing"]:
                return None
            case [b"limited", wait]:
                reached = [("refresh", token.session_id, _MINUTE)]
                raise TooManyAttempts(-(-wait // 1000), (), reached).about(token.user_id)
            case [b"older"]:
                await self._refuse_older(token.user_id, 0, origin)
            case [b"reused", number]:
                self._redis.fence.note(token.user_id, number, token.session_id)
                raise RefreshTokenReused().about(token.user_id)
            case [b"clock"]:
                raise ClockWrong
            case [b"target"]:
                raise InvalidTarget
            case _:
                raise InvalidRefreshToken("the session has ended").about(token.user_id)


def _as_owned(session: Session, owner: Owner) -> Session:
    """Leave out what the session proves no more: a second factor that the account has not."""
    if owner.has_second_factor:
        return session
    proved = session.authentication.without_second_factor
    return msgspec.structs.replace(session, authentication=proved)


def _ms(life: timedelta) -> int:
    return life // timedelta(milliseconds=1)
