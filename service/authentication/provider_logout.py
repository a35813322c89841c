"""Logout that a provider starts (OpenID Connect Back-Channel Logout 1.0)."""

import asyncio
from contextlib import suppress
from datetime import timedelta

from service.clock import Clock
from service.errors import InvalidLogoutToken, StoreUnavailable
from service.openid.errors import TokenInvalid
from service.openid.jose import LEEWAY
from service.openid.providers import Providers
from service.sessions.origin import RequestOrigin
from service.sessions.upstream import UpstreamSessions


class ProviderLogout:
    """Ends the sessions that a provider says are over. May raise `StoreUnavailable`."""

    def __init__(self, providers: Providers, upstream: UpstreamSessions, clock: Clock) -> None:
        self._providers = providers
        self._upstream = upstream
        self._clock = clock

    async def end(self, provider_id: str, token: str, origin: RequestOrigin) -> int:
        """End the sessions of the subject or session that a logout token names. Return how many.

        It counts once. If anything fails before all have ended, it may be sent again.

        Raises:
            ProviderNotFound
            InvalidLogoutToken: it is refused, or was sent before.
            ProviderUnavailable: its keys cannot be read.
        """
        client = self._providers.named(provider_id)
        try:
            logout = await client.logged_out(token)
        except TokenInvalid as error:
            raise InvalidLogoutToken(str(error)) from None
        if not await self._upstream.use_token(logout.issuer, logout.token_id):
            raise InvalidLogoutToken("it was used before")
        try:
            logged_out = await self._upstream.end(
                logout.issuer, logout.subject, logout.session, origin, by=f"provider:{provider_id}"
            )
        except Exception:  # raised again; whatever it is, the same token must be good for a retry
            with suppress(StoreUnavailable):
                await self._upstream.give_back(logout.issuer, logout.token_id)
            raise
        left = logout.expires_at + LEEWAY - self._clock().timestamp()
        await asyncio.gather(
            self._upstream.keep_used(logout.issuer, logout.token_id, timedelta(seconds=left)),
            self._upstream.forget(logged_out),
        )
        return logged_out.count
