"""Guards as tests use them."""

from contextlib import AsyncExitStack
from typing import Any

from service.guard import GuardUnavailable, TokenRefused, Verifier
from service.sessions.token_pair import TokenPair
from tests.support.issuer import Issuer
from tests.support.parts import CLIENT, Parts


class Guards(AsyncExitStack):
    """Starts verifiers for one issuer and one Redis."""

    def __init__(self, issuer: Issuer, redis_url: str) -> None:
        super().__init__()
        self.issuer = issuer
        self.redis_url = redis_url

    def new(self, **options: Any) -> Verifier:
        """A verifier that has not started."""
        common = {
            "issuer": "https://issuer.example",
            "audience": "audience",
            "jwks_url": self.issuer.url,
            "redis_url": self.redis_url,
        }
        return Verifier(**common | options)

    async def start(self, **options: Any) -> Verifier:
        """A verifier that runs until the end of the test."""
        return await self.enter_async_context(self.new(**options))


async def verdict(guard: Verifier, token: str) -> str:
    """`accepted`, `refused` or `unavailable`."""
    try:
        await guard.verify(token)
    except TokenRefused:
        return "refused"
    except GuardUnavailable:
        return "unavailable"
    return "accepted"


async def refuses(guard: Verifier, token: str) -> bool:
    return await verdict(guard, token) == "refused"


async def log_out(parts: Parts, pair: TokenPair) -> None:
    """End a session, as its owner does."""
    caller = parts.access_tokens.verify(pair.access_token)
    await parts.sessions.log_out(caller, pair.refresh_token, CLIENT)
