"""Identities at OpenID providers that are linked to the caller's account."""

from collections.abc import Sequence

from litestar import delete, get, post
from litestar.params import FromPath, JSONBody

from service.clock import timestamp
from service.errors import (
    AlreadyLinked,
    AuthenticationNotRecent,
    InvalidAccessToken,
    LastLoginMethod,
    NotLinked,
    ProviderNotFound,
    ProviderUnavailable,
    RedirectNotAllowed,
    RevocationUnconfirmed,
    StoreUnavailable,
    TooManyAttempts,
)
from service.web.authentication import BEARER
from service.web.refusals import refusals_audited
from service.web.requests import JsonRequest, origin_of
from service.web.routes.bodies import NO_STORE, Body, Timestamp, failures
from service.web.routes.oauth import ProviderStartBody, ProviderStartedBody, started_body
from service.web.services import services_of


class LinkBody(Body, frozen=True):
    """A provider that the account has an identity of."""

    provider: str
    linked_at: Timestamp


class LinksBody(Body, frozen=True):
    """The identities of the account, oldest first."""

    links: Sequence[LinkBody]


@get(
    "/auth/oauth/links",
    response_headers=NO_STORE,
    security=BEARER,
    summary="List linked identities",
    responses=failures(InvalidAccessToken, StoreUnavailable),
)
async def list_links(request: JsonRequest) -> LinksBody:
    """List the providers that the caller's account has an identity of."""
    links = await services_of(request.app).providers.links.of(request.user)
    return LinksBody([LinkBody(each.provider, timestamp(each.linked_at)) for each in links])


@post(
    "/auth/oauth/{provider:str}/link",
    status_code=200,
    response_headers=NO_STORE,
    security=BEARER,
    summary="Begin to link an identity",
    response_description="Where to send the person; complete links it while the session lives",
    responses=failures(
        RedirectNotAllowed,
        InvalidAccessToken,
        AuthenticationNotRecent,
        ProviderNotFound,
        AlreadyLinked,
        TooManyAttempts,
        ProviderUnavailable,
        StoreUnavailable,
        RevocationUnconfirmed,
        body=True,
    ),
)
@refusals_audited("provider.link")
async def link(
    request: JsonRequest, provider: FromPath[str], data: JSONBody[ProviderStartBody]
) -> ProviderStartedBody:
    """Begin to link an identity of a provider to the caller's account."""
    links = services_of(request.app).providers.links
    return started_body(
        await links.start(
            request.user, provider, data.redirect_uri, data.code_challenge, origin_of(request)
        )
    )


@delete(
    "/auth/oauth/{provider:str}/link",
    status_code=204,
    security=BEARER,
    summary="Unlink an identity",
    response_description="It logs nobody in any more; sessions go on",
    responses=failures(
        InvalidAccessToken,
        AuthenticationNotRecent,
        ProviderNotFound,
        NotLinked,
        LastLoginMethod,
        StoreUnavailable,
        RevocationUnconfirmed,
    ),
)
async def unlink(request: JsonRequest, provider: FromPath[str]) -> None:
    """Take the identity of a provider away from the caller's account."""
    links = services_of(request.app).providers.links
    await links.unlink(request.user, provider, origin_of(request))


ROUTES = [list_links, link, unlink]
