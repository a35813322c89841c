"""The check that an app pod makes of every request."""

from datetime import timedelta
from types import TracebackType
from typing import Literal, Self

import msgspec

from service.guard.identity import Identity

Mode = Literal["feed", "strict", "offline"]
WhenLost = Literal["closed", "ask", "serve"]


class GuardCounters(msgspec.Struct):
    """How often what has happened since the start."""

    verified: int = 0
    """Checks that ended with an identity."""
    refused: int = 0
    """Checks that ended with `TokenRefused`."""
    unavailable: int = 0
    """Checks that ended with `GuardUnavailable`."""
    cached: int = 0
    """Checks whose token had been verified before."""
    asked: int = 0
    """Questions to Redis whether a session lives."""
    served_stale: int = 0
    """Checks that ended with an identity though the feed was lost (`when_lost="serve"`)."""
    feed_losses: int = 0
    """How often entries of the feed may have been missed for good."""
    feed_rereads: int = 0
    """How often a stream was read again from its beginning."""
    feed_breaks: int = 0
    """How often a connection for the feed broke, or could not be made."""
    key_fetches: int = 0
    """Fetches of the JWK set, failed ones included."""
    key_failures: int = 0


class Verifier:
    """Checks access tokens. One for a process and event loop; use it as `async with`."""

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        jwks_url: str,
        redis_url: str = "",
        mode: Mode = "feed",
        when_lost: WhenLost = "closed",
        bound: timedelta = timedelta(seconds=5),
        access_ttl: timedelta = timedelta(minutes=15),
        cache_size: int = 16_384,
    ) -> None:
        self.counters = GuardCounters()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    async def verify(self, token: str) -> Identity:
        """The identity behind an access token.

        Raises:
            TokenRefused: it does not count.
            GuardUnavailable: that cannot be said now.
        """
        raise NotImplementedError
