"""Logging in at OpenID providers: to the provider and back, and what comes of it."""

from collections.abc import Sequence
from typing import Any

from litestar import Response, get, post
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, JSONBody

from service.authentication.password import LoggedIn
from service.authentication.provider_flow import Callback, Started
from service.authentication.provider_login import Linked, SignedUp
from service.clock import timestamp
from service.errors import (
    AccountDisabled,
    AlreadyLinked,
    EmailNotVerified,
    EmailRequired,
    InvalidGrant,
    InvalidState,
    InvalidTarget,
    LinkRequired,
    OriginNotAllowed,
    ProviderNotFound,
    ProviderUnavailable,
    RedirectNotAllowed,
    RevocationUnconfirmed,
    SignupDisabled,
    StoreUnavailable,
    TooManyAttempts,
)
from service.web.authentication import PUBLIC
from service.web.cookies import wants_cookie, with_tokens
from service.web.forms import fields_of, form_of
from service.web.metrics.outcomes import opened_by_provider
from service.web.refusals import refusals_audited
from service.web.requests import JsonRequest, origin_of
from service.web.responses import RouteResponse
from service.web.routes.accounts import ChallengeBody
from service.web.routes.bodies import (
    NO_STORE,
    Body,
    ResourceBody,
    SignedInBody,
    Timestamp,
    UserBody,
    failures,
    signed_in_body,
    user_body,
)
from service.web.services import services_of


class ProviderBody(Body, frozen=True):
    """A provider: its id in paths, and its name for people."""

    id: str
    name: str


class ProvidersBody(Body, frozen=True):
    """The providers that people may log in at."""

    providers: Sequence[ProviderBody]


class ProviderStartBody(Body, frozen=True):
    """Where to return to, and the S256 challenge of a verifier that the app keeps (RFC 7636)."""

    redirect_uri: str
    code_challenge: str


class ProviderStartedBody(Body, frozen=True):
    """Where to send the person, and until when they may come back."""

    authorization_url: str
    expires_at: Timestamp


class CompleteBody(ResourceBody, frozen=True):
    """What stood behind `#grant=`, and the verifier of the challenge that was sent to start."""

    grant: str
    code_verifier: str


class LinkedBody(Body, frozen=True):
    """The account that an identity was linked to."""

    user: UserBody


@get("/auth/oauth", opt=PUBLIC, summary="List providers", responses=failures())
async def list_providers(request: JsonRequest) -> ProvidersBody:
    """List the OpenID providers that people may log in at."""
    found = services_of(request.app).providers.flow.providers.all()
    return ProvidersBody([ProviderBody(each.id, each.name) for each in found])


@post(
    "/auth/oauth/{provider:str}/start",
    opt=PUBLIC,
    status_code=200,
    response_headers=NO_STORE,
    summary="Begin a login at a provider",
    response_description="Where to send the person",
    responses=failures(
        RedirectNotAllowed,
        ProviderNotFound,
        TooManyAttempts,
        ProviderUnavailable,
        StoreUnavailable,
        RevocationUnconfirmed,
        body=True,
    ),
)
@refusals_audited("provider.start")
async def start(
    request: JsonRequest, provider: FromPath[str], data: JSONBody[ProviderStartBody]
) -> ProviderStartedBody:
    """Begin a login. Keep the verifier: `complete` asks for it."""
    flow = services_of(request.app).providers.flow
    return started_body(
        await flow.start(provider, data.redirect_uri, data.code_challenge, origin_of(request))
    )


def started_body(started: Started) -> ProviderStartedBody:
    """Make the body of a login or link that has begun."""
    return ProviderStartedBody(started.authorization_url, timestamp(started.expires_at))


_SENT = ("state", "code", "error", "iss")
_KINDS = (InvalidState, ProviderNotFound, StoreUnavailable, RevocationUnconfirmed)
_THERE = {
    303: ResponseSpec(None, False, "To the `redirectUri` of start, with `#grant=` or `#error=`")
}


@get(
    "/auth/oauth/{provider:str}/callback",
    opt=PUBLIC | {"query": _SENT},
    status_code=303,
    response_headers=NO_STORE,
    summary="Return from a provider",
    responses=failures(*_KINDS) | _THERE,
)
async def callback(request: JsonRequest, provider: FromPath[str]) -> Response[None]:
    """Receive a person whom a provider has sent back. The query may have 8,192 bytes."""
    return await _received(request, provider, request.scope["query_string"])


@post(
    "/auth/oauth/{provider:str}/callback",
    opt=PUBLIC | {"form": _SENT},
    status_code=303,
    response_headers=NO_STORE,
    summary="Return from a provider by form_post",
    responses=failures(*_KINDS, body=True) | _THERE,
)
async def callback_form(request: JsonRequest, provider: FromPath[str]) -> Response[None]:
    """Receive a person whom a provider has sent back with a form."""
    return await _received(request, provider, await form_of(request))


async def _received(request: JsonRequest, provider: str, encoded: bytes) -> Response[None]:
    fields = fields_of(encoded, _SENT)
    if fields is None:
        raise InvalidState
    sent = Callback(
        fields.get("state", ""), fields.get("code", ""), fields.get("error", ""), fields.get("iss")
    )
    flow = services_of(request.app).providers.flow
    there = await flow.callback(provider, sent, origin_of(request))
    return Response(
        None, status_code=303, headers={"Location": there, "Referrer-Policy": "no-referrer"}
    )


@post(
    "/auth/oauth/complete",
    opt=PUBLIC,
    status_code=200,
    response_headers=NO_STORE,
    summary="Complete a login at a provider",
    response_description="A token pair, and whose it is; of a link the account alone",
    responses=failures(
        InvalidTarget,
        InvalidGrant,
        EmailRequired,
        EmailNotVerified,
        SignupDisabled,
        AccountDisabled,
        OriginNotAllowed,
        LinkRequired,
        AlreadyLinked,
        TooManyAttempts,
        StoreUnavailable,
        RevocationUnconfirmed,
        body=True,
    )
    | {
        201: ResponseSpec(SignedInBody, False, "The same, of an account that was made by it"),
        202: ResponseSpec(ChallengeBody, False, "A code is to follow, at POST /auth/login/2fa"),
    },
)
@refusals_audited("provider")
async def complete(
    request: JsonRequest, data: JSONBody[CompleteBody]
) -> Response[SignedInBody | LinkedBody]:
    """Exchange a grant, once, for a session, or with 2FA on for a challenge."""
    authentication = services_of(request.app).providers.authentication
    by_cookie = await wants_cookie(request)
    outcome = await authentication.complete(
        data.grant, data.code_verifier, origin_of(request), data.resource
    )
    if isinstance(outcome, LoggedIn):
        opened_by_provider()
        status = 201 if isinstance(outcome, SignedUp) else 200
        body = with_tokens(request, signed_in_body(outcome), outcome.tokens, by_cookie)
        return RouteResponse(body, status_code=status, media_type=None)
    if isinstance(outcome, Linked):
        return Response(LinkedBody(user_body(outcome.user)))
    challenge: Any = ChallengeBody(outcome.id, timestamp(outcome.expires_at))
    return Response(challenge, status_code=202)


ROUTES = [list_providers, start, callback, callback_form, complete]
