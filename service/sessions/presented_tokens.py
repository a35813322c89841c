"""Tokens that other software presents: whether they are good (RFC 7662); their end (RFC 7009)."""

import asyncio
from collections.abc import Sequence
from typing import Literal

import msgspec

from service.errors import (
    InvalidAccessToken,
    InvalidRefreshToken,
    InvalidTarget,
    NothingToRevoke,
    Overloaded,
    StoreUnavailable,
)
from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.sessions import scripts
from service.sessions.access_tokens import AccessTokens, Caller
from service.sessions.origin import RequestOrigin
from service.sessions.owner import Owners
from service.sessions.record import Session, read
from service.sessions.refresh_tokens import PREFIX, RefreshTokens
from service.sessions.sessions import Sessions

TokenType = Literal["Bearer", "refresh_token"]

_BATCHES = 8
"""Batches that this process works on at once; the others wait."""

_AT_ONCE = 10
"""Tokens of a batch that are looked at at once, before other requests get a turn."""

_PATIENCE = 1.5
"""Seconds that a batch may take, its wait included."""


class ActiveToken(msgspec.Struct, frozen=True):
    """What introspection says of a token that is good. Times in seconds since 1970.

    `token_type` tells access tokens from refresh tokens, which no resource server must take.
    """

    active: Literal[True]
    sub: str
    sid: str
    client_id: str
    exp: int
    iat: int
    auth_time: int
    amr: tuple[str, ...]
    iss: str
    aud: str
    token_type: TokenType


class PresentedTokens:
    """Looks at tokens, and ends the sessions of some. Any method may raise `StoreUnavailable`."""

    def __init__(
        self,
        redis: RedisClient,
        sessions: Sessions,
        access_tokens: AccessTokens,
        refresh_tokens: RefreshTokens,
        owners: Owners,
        *,
        issuer: str,
    ) -> None:
        """Take the stores. `owners` are asked only while a user's row is being changed."""
        self._redis = redis
        self._sessions = sessions
        self._access_tokens = access_tokens
        self._refresh_tokens = refresh_tokens
        self._owners = owners
        self._issuer = issuer
        self._batches = asyncio.Semaphore(_BATCHES)

    async def introspect(self, text: str) -> ActiveToken | None:
        """Say what a token stands for; `None`: it is not good, whyever.

        It takes one script, and SQL only while the user's row is being changed. A spent refresh
        token is not good. Nothing is changed, whatever is asked.
        """
        if text.startswith(PREFIX):
            return await self._of_refresh_token(text)
        return await self._of_access_token(text)

    async def introspect_all(self, texts: Sequence[str]) -> list[ActiveToken | None]:
        """Say of each what `introspect` does, in their order.

        However many ask at once, signatures keep no other request waiting, nor do the questions
        fill the connection to Redis.

        Raises:
            Overloaded: it could not be done in time beside the other batches.
        """
        found: list[ActiveToken | None] = []
        try:
            async with asyncio.timeout(_PATIENCE), self._batches:
                for at in range(0, len(texts), _AT_ONCE):
                    some = texts[at : at + _AT_ONCE]
                    found += await asyncio.gather(*map(self.introspect, some))
        except TimeoutError:
            raise Overloaded(1) from None
        return found

    async def revoke(self, text: str, origin: RequestOrigin) -> int:
        """End the session of a token, be it spent; return how many have ended.

        Of what is no token of ours, or not any more, nothing is told. Where replicas are to
        acknowledge an end, they are waited for again when it was made before.
        """
        try:
            if text.startswith(PREFIX):
                token = await self._sessions.recognise_to_end(text)
                return await self._sessions.end(
                    token.user_id, token.session_id, origin, token.digest
                )
            caller = self._access_tokens.verify(text)
        except (NothingToRevoke, InvalidAccessToken):
            return 0
        return await self._sessions.end(caller.user_id, caller.session_id, origin)

    async def _of_access_token(self, text: str) -> ActiveToken | None:
        try:
            claims = self._access_tokens.claims(text)
            caller = Caller(bytes.fromhex(claims.sub), bytes.fromhex(claims.sid))
            session = await self._sessions.current(caller)
        except InvalidAccessToken:
            return None
        if session.user_version is None and not await self._still_counts(session):
            return None
        return ActiveToken(
            active=True,
            sub=claims.sub,
            sid=claims.sid,
            client_id=claims.client_id,
            exp=claims.exp,
            iat=claims.iat,
            auth_time=claims.auth_time,
            amr=claims.amr,
            iss=claims.iss,
            aud=claims.aud,
            token_type="Bearer",  # noqa: S106  the name of a kind of token
        )

    async def _of_refresh_token(self, text: str) -> ActiveToken | None:
        try:
            token = self._refresh_tokens.recognise(text)
        except InvalidRefreshToken:
            return None
        names = bucket(token.user_id)
        found = await scripts.introspect(
            self._redis,
            index=names.index + token.user_id,
            tag=names.tag,
            session_id=token.session_id,
        )
        if found is None or found[0] != token.digest:
            return None
        session = read(token.user_id, token.session_id, *found[1:])
        if session.user_version is None and not await self._still_counts(session):
            return None
        try:
            audience = self._access_tokens.audiences.of(session)
        except InvalidTarget:  # nobody gets an access token for it
            return None
        return ActiveToken(
            active=True,
            sub=session.user_id.hex(),
            sid=session.id.hex(),
            client_id=audience,
            exp=int(session.expires_at.timestamp()),
            iat=int(session.last_used_at.timestamp()),
            auth_time=int(session.authenticated_at.timestamp()),
            amr=session.authentication.methods,
            iss=self._issuer,
            aud=audience,
            token_type="refresh_token",  # noqa: S106  the name of a kind of token
        )

    async def _still_counts(self, session: Session) -> bool:
        """Tell whether a session counts whose user's row is being changed, by the user store.

        Whoever was killed in a change has left it so. Then Redis does not know what has ended.

        Raises:
            StoreUnavailable: the user store cannot tell at the moment.
        """
        owner = await self._owners(session.user_id)
        if not owner.is_known:
            raise StoreUnavailable("the user store cannot tell whether the session counts")
        return owner.exists and not owner.disabled and session.row_version >= owner.sessions_from
