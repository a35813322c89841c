"""The keys of a provider: fetched anew for each login, kept a while for what it sends by itself."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from service.errors import ProviderUnavailable
from service.openid import jose
from service.openid.jose import Jwk, KeyUnknown, Unverified
from service.openid.single_flight import SingleFlight

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
        self._fetching = SingleFlight[Sequence[Jwk]]()

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
        elif now - self._tried_at < _FLOOR and not self._fetching.is_on:
            raise ProviderUnavailable("the provider's keys could not be fetched a moment ago")
        keys = await self._fetching.do(lambda: self.fetch(url))
        return jose.verify(token, keys, algorithms)
