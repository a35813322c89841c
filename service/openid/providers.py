"""The providers of the settings, by id."""

import asyncio
from collections.abc import Mapping, Sequence

from service.clock import Clock
from service.errors import ProviderNotFound
from service.openid.client import ProviderClient
from service.openid.github import GitHubClient
from service.settings import Provider

AnyClient = ProviderClient | GitHubClient


class Providers:
    """The clients of all providers. Close them with `aclose`."""

    def __init__(self, providers: Sequence[Provider], clock: Clock) -> None:
        self._clients: Mapping[str, AnyClient] = {
            provider.id: _client(provider, clock) for provider in providers
        }

    async def aclose(self) -> None:
        """Close the connections to all of them."""
        await asyncio.gather(*(client.aclose() for client in self._clients.values()))

    def all(self) -> Sequence[Provider]:
        """List them, ordered by id."""
        return [self._clients[each].provider for each in sorted(self._clients)]

    def named(self, provider_id: str) -> AnyClient:
        """Return the client of a provider.

        Raises:
            ProviderNotFound
        """
        client = self._clients.get(provider_id)
        if client is None:
            raise ProviderNotFound
        return client


def _client(provider: Provider, clock: Clock) -> AnyClient:
    from service.openid.http import ProviderHttp  # only where there is a provider: httpx is slow

    http = ProviderHttp()
    if provider.kind == "github":
        return GitHubClient(provider, http)
    return ProviderClient(provider, http, clock)
