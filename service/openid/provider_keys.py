"""The keys of a provider: fetched anew for each login, kept a while for what it sends by itself."""

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from service.errors import ProviderUnavailable
from service.openid import jose
from service.openid.budget import in_time
from service.openid.jose import Jwk, KeyUnknown, Unverified

if TYPE_CHECKING:
    from service.openid.http import ProviderHttp

_GOOD_FOR = 300.0
"""Seconds that keys are believed without asking again."""

_FLOOR = 5.0
"""Least seconds between two fetches that were caused by tokens anybody may have sent."""


class ProviderKeys:
    """The JWK set of one provider."""

    def __init__(self, http: "ProviderHttp") -> None:
        self._http = http
        self._keys: Sequence[Jwk] = ()
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching: asyncio.Task[Sequence[Jwk]] | None = None

    async def fetch(self, url: str) -> Sequence[Jwk]:
        """Fetch them now: a key that the provider has withdrawn is none any more.

        Raises:
            ProviderUnavailable, ProviderFailed
        """
        self._tried_at = time.monotonic()
        self._keys = jose.read_keys(await self._http.get(url))
        self._fetched_at = time.monotonic()
        return self._keys

    async def verify(self, token: Unverified, url: str, algorithms: frozenset[str]) -> None:
        """Check a token that anybody may have sent: of those the provider is not asked each time.

        Raises:
            TokenInvalid
            ProviderUnavailable, ProviderFailed
        """
        now = time.monotonic()
        if now - self._fetched_at < _GOOD_FOR:
            try:
                return jose.verify(token, self._keys, algorithms)
            except KeyUnknown:
                if now - self._tried_at < _FLOOR:
                    raise
        elif now - self._tried_at < _FLOOR and self._fetching is None:
            raise ProviderUnavailable("the provider's keys could not be fetched a moment ago")
        return jose.verify(token, await self._fetch_together(url), algorithms)

    async def _fetch_together(self, url: str) -> Sequence[Jwk]:
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch_in_time(url))
            self._fetching.add_done_callback(self._fetched)
        return await asyncio.shield(self._fetching)

    async def _fetch_in_time(self, url: str) -> Sequence[Jwk]:
        """Fetch them within a budget of its own: it goes on when the one that began it has left."""
        async with in_time():
            return await self.fetch(url)

    def _fetched(self, task: "asyncio.Task[Sequence[Jwk]]") -> None:
        self._fetching = None
        if not task.cancelled():
            task.exception()  # whoever waits has it; where nobody does, nothing is to be said
