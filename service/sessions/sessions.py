"""The use cases of a session: open, refresh, read, list, end. One script, one round trip each."""

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Literal

import msgspec

from service.errors import (
    AccountChanged,
    ClockWrong,
    InvalidAccessToken,
    InvalidRefreshToken,
    KeyServiceUnavailable,
    NothingToRevoke,
    RefreshTokenReused,
    SessionNotFound,
    TooManyAttempts,
)
from service.redis.client import RedisClient
from service.redis.keys import FEED_SKEW, bucket
from service.sessions import scripts
from service.sessions.access_tokens import AccessTokens, Caller
from service.sessions.origin import RequestOrigin
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


class Owner(msgspec.Struct, frozen=True):
    """What the user store says of the owner of a session; as good as it can say at the moment."""

    exists: bool = True
    has_second_factor: bool = True


Owners = Callable[[bytes], "asyncio.Future[Owner]"]
"""Asks the user store about a user. Never fails: a store that is away says nothing."""


def _unknown_owner(user_id: bytes) -> "asyncio.Future[Owner]":
    known = asyncio.get_running_loop().create_future()
    known.set_result(Owner())
    return known


class Lives(msgspec.Struct, frozen=True):
    """How long things live: a session since it was opened and since its last refresh; the grace."""

    absolute: timedelta
    idle: timedelta
    grace: timedelta


class Sessions:
    """All that can be done with sessions. Any method may raise `StoreUnavailable`."""

    def __init__(
        self,
        redis: RedisClient,
        refresh_tokens: RefreshTokens,
        access_tokens: AccessTokens,
        lives: Lives,
        most_per_user: int,
        owners: Owners = _unknown_owner,
    ) -> None:
        self._redis = redis
        self._owners = owners
        self._refresh_tokens = refresh_tokens
        self._access_tokens = access_tokens
        self._idle, self._absolute = _ms(lives.idle), _ms(lives.absolute)
        self._grace = _ms(lives.grace)
        # Once for a guard to know what may still matter, once more for its clock to be behind.
        self._feed_life = _ms(timedelta(seconds=access_tokens.life) + 2 * FEED_SKEW)
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
        """`open` without the signature, which costs as much as all the rest of it here."""
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
        """The tokens that a client gets for it."""
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
        """Spend `token`. The one that is valid now, and the session's record and end."""
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

    async def log_out(self, caller: Caller, presented: str, origin: RequestOrigin) -> None:
        """End the session of a refresh token of the caller's, spent or not.

        Raises:
            NothingToRevoke: unknown, malformed, expired, revoked, another's: one answer.
        """
        try:
            token = self._refresh_tokens.recognise(presented)
        except InvalidRefreshToken:
            raise NothingToRevoke from None
        except KeyServiceUnavailable:
            token = await self._recognise_by_record(presented)
        if token.user_id != caller.user_id:
            raise NothingToRevoke
        if not await self._end(token.user_id, token.session_id, origin):
            raise NothingToRevoke

    async def _end(self, user_id: bytes, session_id: bytes, origin: RequestOrigin) -> int:
        """End a session; 0 if there is none any more."""
        ended: int = await scripts.end(
            self._redis,
            user_id,
            origin,
            session_id=session_id,
            session_hex=session_id.hex(),
            feed_life=self._feed_life,
        )
        return ended

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
        """The caller's own session.

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
        """The caller's living sessions, newest first.

        Raises:
            InvalidAccessToken: the caller's own has ended, or the user is gone.
        """
        await self._refuse_if_gone(caller.user_id, origin)
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
        return sorted(sessions, key=lambda session: (session.opened_at, session.id), reverse=True)

    async def count(self, user_id: bytes) -> int:
        """How many sessions of a user live."""
        keys = bucket(user_id)
        living: int = await scripts.count(self._redis, index=keys.index + user_id, tag=keys.tag)
        return living

    async def revoke(self, caller: Caller, session_id: bytes, origin: RequestOrigin) -> None:
        """End one of the caller's sessions by its id.

        Raises:
            InvalidAccessToken: the caller's own has ended.
            SessionNotFound: the caller has no such session.
        """
        await self._refuse_if_gone(caller.user_id, origin)
        outcome = await scripts.revoke(
            self._redis,
            caller.user_id,
            origin,
            caller=caller.session_id,
            session_id=session_id,
            feed_life=self._feed_life,
        )
        if outcome == b"unauthenticated":
            raise InvalidAccessToken
        if outcome == b"unknown":
            raise SessionNotFound

    async def revoke_all(self, caller: Caller, keep_current: bool, origin: RequestOrigin) -> int:
        """End all sessions of the caller, or all others. How many have ended.

        Raises:
            InvalidAccessToken: the caller's own had ended before.
            TooManyAttempts: it was called too often just now; nothing has ended.
        """
        await self._refuse_if_gone(caller.user_id, origin)
        ended: int | list[int] = await scripts.revoke_all(
            self._redis,
            caller.user_id,
            origin,
            caller=caller.session_id,
            keep_own=int(keep_current),
            feed_life=self._feed_life,
        )
        if isinstance(ended, list):
            raise TooManyAttempts(-(-ended[0] // 1000))
        if ended < 0:
            raise InvalidAccessToken
        return ended

    async def _refuse_if_gone(self, user_id: bytes, origin: RequestOrigin) -> None:
        """End all sessions of a user who is not there any more, and refuse the call."""
        if not (await self._owners(user_id)).exists:
            await self._end_all_of_gone(user_id, origin)
            raise InvalidAccessToken

    async def _end_all_of_gone(self, user_id: bytes, origin: RequestOrigin) -> None:
        await scripts.end_all_of_gone(self._redis, user_id, origin, feed_life=self._feed_life)


def _ms(life: timedelta) -> int:
    return life // timedelta(milliseconds=1)
