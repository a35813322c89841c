"""The sessions package put together without the web, for what cannot be seen through a route."""

import ipaddress
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from service.clock import system_clock
from service.keyring import signing
from service.keyring.signing import SigningKeys
from service.redis.client import RedisClient
from service.redis.node import Timing
from service.sessions.access_tokens import AccessTokens
from service.sessions.origin import RequestOrigin
from service.sessions.owner import Owners, unknown_owner
from service.sessions.record import Authentication, Session
from service.sessions.refresh_tokens import RefreshTokens
from service.sessions.sessions import Lives, Sessions
from service.sessions.token_pair import TokenPair

MAC_KEYS = {1: bytes(32), 2: bytes(range(32))}
SIGNING_KEYS = SigningKeys([signing.mint(), signing.mint()])
CLIENT = RequestOrigin(ipaddress.ip_address("192.0.2.7"), "a browser", "request-1")
PATIENTLY = Timing(connect=timedelta(seconds=20), reply=timedelta(seconds=20))
"""With a machine that many share, where it is not proven how long is waited for Redis."""
LIVES = Lives(timedelta(days=30), timedelta(days=14), timedelta(seconds=10))


def access_tokens(
    keys: SigningKeys = SIGNING_KEYS,
    *,
    issuer: str = "https://issuer.example",
    audience: str = "audience",
    others: Sequence[str] = (),
    life: timedelta = timedelta(minutes=15),
    ahead: timedelta = timedelta(),
) -> AccessTokens:
    """Make access tokens whose clock is `ahead` of this machine's."""
    return AccessTokens(
        keys,
        issuer=issuer,
        audience=audience,
        others=others,
        life=life,
        clock=lambda: system_clock() + ahead,
    )


class Parts:
    """The use cases on one Redis, and the parts that they are made of."""

    def __init__(
        self,
        redis_client: RedisClient,
        lives: Lives = LIVES,
        most_per_user: int = 50,
        owners: Owners = unknown_owner,
        audiences: Sequence[str] = (),
    ) -> None:
        self.link = redis_client
        self.refresh_tokens = RefreshTokens(MAC_KEYS, 2)
        self.access_tokens = access_tokens(others=audiences)
        self.sessions = Sessions(
            redis_client, self.refresh_tokens, self.access_tokens, lives, most_per_user, owners
        )

    async def open(self, user_id: bytes | None = None, audience: str | None = None) -> TokenPair:
        """Open a session of this user, or of a new one."""
        user_id = user_id or os.urandom(16)
        return await self.sessions.open(
            user_id, Authentication.PASSWORD, "user.loggedIn", CLIENT, audience=audience
        )


_NOW = datetime.now(UTC)

SESSION = Session(
    user_id=os.urandom(16),
    id=os.urandom(12),
    generation=0,
    opened_at=_NOW - timedelta(hours=1),
    last_used_at=_NOW,
    expires_at=_NOW + timedelta(days=1),
    authentication=Authentication.PASSWORD,
    ip_address=None,
    user_agent=None,
    authenticated_at=_NOW - timedelta(minutes=1),
)


def sign(claims: dict[str, Any], **header: Any) -> str:
    """Make a token with the issuer's own key, and whatever claims and header."""
    key = SIGNING_KEYS.active
    header = {"typ": "at+jwt", "kid": key.kid} | header
    return jwt.encode(claims, key.private_key, "ES256", headers=header)
