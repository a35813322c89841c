"""The use cases of a session: open and refresh; what callers do with theirs: own_sessions.py.

One script, one round trip each.
"""

import os
from datetime import timedelta
from typing import Literal

import msgspec

from service.errors import (
    AccountChanged,
    ClockWrong,
    InvalidRefreshToken,
    RefreshTokenReused,
    TooManyAttempts,
)
from service.redis.client import RedisClient
from service.redis.keys import FEED_SKEW
from service.sessions import scripts
from service.sessions.access_tokens import AccessTokens
from service.sessions.origin import RequestOrigin
from service.sessions.own_sessions import OwnSessions
from service.sessions.owner import Owners, unknown_owner
from service.sessions.record import Authentication, Session, read
from service.sessions.refresh_tokens import (
    SESSION_ID,
    RefreshToken,
    RefreshTokens,
    open_successor,
    seal_successor,
)
from service.sessions.token_pair import Opened, TokenPair

OpeningEvent = Literal["user.signedUp", "user.loggedIn"]


class Lives(msgspec.Struct, frozen=True):
    """Lives: of a session since it was opened, and since its last refresh; of the grace."""

    absolute: timedelta
    idle: timedelta
    grace: timedelta


class Sessions(OwnSessions):
    """Opens and refreshes sessions. Any method may raise `StoreUnavailable`."""

    def __init__(
        self,
        redis: RedisClient,
        refresh_tokens: RefreshTokens,
        access_tokens: AccessTokens,
        lives: Lives,
        most_per_user: int,
        owners: Owners = unknown_owner,
    ) -> None:
        # Once for a guard to know what may still matter, once more for its clock to be behind.
        feed_life = _ms(timedelta(seconds=access_tokens.life) + 2 * FEED_SKEW)
        super().__init__(redis, owners, refresh_tokens, feed_life)
        self._access_tokens = access_tokens
        self._idle, self._absolute = _ms(lives.idle), _ms(lives.absolute)
        self._grace = _ms(lives.grace)
        self._most_per_user = most_per_user

    async def open(
        self,
        user_id: bytes,
        authentication: Authentication,
        event: OpeningEvent,
        origin: RequestOrigin,
        user_version: int | None = None,
        *,
        noted: bytes = b"",
    ) -> TokenPair:
        """Open a session for a person who has just proved who they are.

        `user_version` is that of the user row that was read for it; `None`: of an account that is
        as new. `noted`: what an `AccountChanged` before that row was read has told. If a change is
        under way by that, whoever opens looks afterwards whether it was written, and withdraws.

        Raises:
            AccountChanged: the row may have changed since it was read.
            ClockWrong: nothing that this process signs would be valid.
        """
        return self.sign(
            await self.open_unsigned(
                user_id, authentication, event, origin, user_version, noted=noted
            )
        )

    async def open_unsigned(
        self,
        user_id: bytes,
        authentication: Authentication,
        event: OpeningEvent,
        origin: RequestOrigin,
        user_version: int | None = None,
        *,
        noted: bytes = b"",
    ) -> Opened:
        """Open a session as `open` does, unsigned: signing costs as much as all the rest here."""
        token = self._refresh_tokens.mint(user_id, os.urandom(SESSION_ID), 0)
        clock, valid_until = self._access_tokens.window()
        outcome, *answer = await scripts.open_session(
            self._redis,
            user_id,
            origin,
            session_id=token.session_id,
            session_hex=token.session_id.hex(),
            token_digest=token.digest,
            authentication=bytes((authentication,)),
            device=origin.packed(),
            idle_life=self._idle,
            absolute_life=self._absolute,
            most=self._most_per_user,
            event=event,
            read="" if user_version is None else user_version,
            noted=noted,
            clock=clock,
            valid_until=valid_until,
            feed_life=self._feed_life,
        )
        match outcome:
            case b"opened":
                return Opened(token, *answer)
            case b"changed":
                raise AccountChanged(*answer)
            case _:
                raise ClockWrong

    async def withdraw(self, user_id: bytes, tokens: TokenPair, origin: RequestOrigin) -> None:
        """End a session that was opened a moment ago, and whose tokens nobody has got."""
        await self._end(user_id, tokens.session_id, origin)

    def sign(self, opened: Opened) -> TokenPair:
        """Sign the tokens that a client gets for an opened session."""
        token = opened.token
        session = read(token.user_id, token.session_id, opened.record, opened.expires_at)
        return self._signed(token, session)

    def _signed(self, token: RefreshToken, session: Session) -> TokenPair:
        access_token, expires_in = self._access_tokens.mint(session)
        return TokenPair(
            access_token=access_token,
            refresh_token=token.text,
            expires_in=expires_in,
            session_id=token.session_id,
        )

    async def refresh(self, presented: str, origin: RequestOrigin) -> TokenPair:
        """Spend a refresh token for its successor.

        Within the grace, whoever presents the same spent token gets the same successor. A user who
        is not there any more has no sessions: all end.

        Raises:
            InvalidRefreshToken: not one of ours, its session lives no more, or its user is gone.
            ClockWrong: nothing that this process signs would be valid. The token is not spent.
            RefreshTokenReused: spent before; its session has ended by now.
            TooManyAttempts: the session was refreshed too often just now; the token stays good.
        """
        token = self._refresh_tokens.recognise(presented)
        asked = self._owners(token.user_id)  # answered while Redis rotates
        now_valid, record, expires_at = await self._rotate(token, origin)
        owner = await asked
        if not owner.exists:
            await self._end_all_of_gone(token.user_id, origin)
            raise InvalidRefreshToken
        session = read(token.user_id, token.session_id, record, expires_at)
        if not owner.has_second_factor:
            proved = session.authentication.without_second_factor
            session = msgspec.structs.replace(session, authentication=proved)
        return self._signed(now_valid, session)

    async def _rotate(
        self, token: RefreshToken, origin: RequestOrigin
    ) -> tuple[RefreshToken, bytes, int]:
        """Spend `token`. Return the one that is valid now, and the session's record and end."""
        successor = self._refresh_tokens.mint(token.user_id, token.session_id, token.generation + 1)
        clock, valid_until = self._access_tokens.window()
        outcome, *answer = await scripts.rotate(
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
            feed_life=self._feed_life,
        )
        match outcome:
            case b"rotated":
                record, expires_at = answer
                return successor, record, expires_at
            case b"handoff":
                record, expires_at, sealed = answer
                return open_successor(token, sealed), record, expires_at
            case b"limited":
                raise TooManyAttempts(-(-answer[0] // 1000))
            case b"reused":
                raise RefreshTokenReused
            case b"clock":
                raise ClockWrong
            case _:
                raise InvalidRefreshToken


def _ms(life: timedelta) -> int:
    return life // timedelta(milliseconds=1)
