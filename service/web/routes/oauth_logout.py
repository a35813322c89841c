"""Logout that an OpenID provider starts."""

from litestar import post
from litestar.params import FromPath

from service.errors import (
    InvalidLogoutToken,
    ProviderNotFound,
    ProviderUnavailable,
    RevocationUnconfirmed,
    StoreUnavailable,
)
from service.web.authentication import PUBLIC
from service.web.forms import fields_of, form_of
from service.web.metrics.outcomes import ended
from service.web.requests import JsonRequest, origin_of
from service.web.routes.bodies import NO_STORE, failures
from service.web.services import services_of


@post(
    "/auth/oauth/{provider:str}/backchannel-logout",
    opt=PUBLIC | {"form": ("logout_token",)},
    status_code=200,
    response_headers=NO_STORE,
    summary="Log out as a provider says",
    response_description="The sessions of the token's subject or session have ended",
    responses=failures(
        InvalidLogoutToken,
        ProviderNotFound,
        ProviderUnavailable,
        StoreUnavailable,
        RevocationUnconfirmed,
        body=True,
    ),
)
async def backchannel_logout(request: JsonRequest, provider: FromPath[str]) -> None:
    """Take a `logout_token` (OpenID Connect Back-Channel Logout 1.0)."""
    fields = fields_of(await form_of(request), ("logout_token",)) or {}
    logout = services_of(request.app).providers.logout
    token = fields.get("logout_token", "")
    ended("provider", await logout.end(provider, token, origin_of(request)))


ROUTES = [backchannel_logout]
