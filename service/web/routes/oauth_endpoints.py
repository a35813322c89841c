"""OAuth endpoints: metadata (RFC 8414), revocation (RFC 7009), introspection (RFC 7662)."""

from urllib.parse import parse_qsl

import msgspec
from litestar import MediaType, get, post
from litestar.openapi import ResponseSpec

from service.errors import (
    ApiKeyRequired,
    InsufficientScope,
    InvalidApiKey,
    InvalidField,
    RevocationUnconfirmed,
    StoreUnavailable,
    TooManyAttempts,
)
from service.sessions.presented_tokens import TokenType
from service.web.api_keys import demand_key
from service.web.authentication import BEARER, PUBLIC
from service.web.errors import UnsupportedMediaType
from service.web.json_body import decode, is_json
from service.web.metrics.outcomes import ended
from service.web.oauth_metadata import OAuthMetadata
from service.web.requests import JsonRequest, headers_of, origin_of
from service.web.routes.bodies import NO_STORE, Body, failures, oauth_failures
from service.web.services import services_of

_FORM = b"application/x-www-form-urlencoded"
_MOST_FIELDS = 20
_MOST_TOKENS = 100
_INACTIVE = b'{"active":false}'


class IntrospectionBody(msgspec.Struct, frozen=True):
    """What a token stands for (RFC 7662, section 2.2). Only `active` is there when it is false."""

    active: bool
    sub: str | None = None
    sid: str | None = None
    client_id: str | None = None
    exp: int | None = None
    iat: int | None = None
    auth_time: int | None = None
    amr: list[str] | None = None
    iss: str | None = None
    aud: str | None = None
    token_type: TokenType | None = None


class BatchBody(Body, frozen=True):
    """Tokens to look at, 100 at the most."""

    tokens: list[str]


class BatchAnswerBody(Body, frozen=True):
    """What is said of each, in their order."""

    tokens: list[IntrospectionBody]


_ONE = ResponseSpec(IntrospectionBody, False, "What it stands for, or exactly `{active: false}`")
_MANY = ResponseSpec(BatchAnswerBody, False, "What each stands for, in their order")
_BATCH = msgspec.json.schema(BatchBody)["$defs"]["BatchBody"]
_ASKS_FOR_A_KEY = oauth_failures(
    InvalidField,
    ApiKeyRequired,
    InvalidApiKey,
    InsufficientScope,
    TooManyAttempts,
    StoreUnavailable,
)


@get(
    "/.well-known/oauth-authorization-server",
    opt=PUBLIC,
    response_headers={"Cache-Control": "public, max-age=600"},
    media_type=MediaType.JSON,
    summary="Metadata",
    responses={200: ResponseSpec(OAuthMetadata, False, "The metadata")} | failures(),
)
async def metadata(request: JsonRequest) -> bytes:
    """Return what other software can find here (RFC 8414)."""
    return services_of(request.app).metadata


@post(
    "/oauth/revoke",
    opt=PUBLIC | {"form": ("token", "token_type_hint")},
    status_code=200,
    summary="Revoke a token",
    response_description="The session of the token has ended, if it was one",
    responses=oauth_failures(InvalidField, StoreUnavailable, RevocationUnconfirmed),
)
async def revoke(request: JsonRequest) -> None:
    """End the session of a refresh or access token (RFC 7009). Of unknown ones nothing is told."""
    token = await _token_in(request)
    revoked = await services_of(request.app).presented_tokens.revoke(token, origin_of(request))
    ended("revoked", revoked)


@post(
    "/oauth/introspect",
    opt=PUBLIC | {"form": ("token", "token_type_hint")},
    status_code=200,
    media_type=MediaType.JSON,
    response_headers=NO_STORE,
    security=BEARER,
    summary="Introspect a token",
    response_description="What the token stands for, or that it is not active",
    responses={200: _ONE} | _ASKS_FOR_A_KEY,
)
async def introspect(request: JsonRequest) -> bytes:
    """Say what an access or refresh token stands for (RFC 7662). Takes an API key."""
    services = services_of(request.app)
    await demand_key(request, services.api_keys, "introspect")
    found = await services.presented_tokens.introspect(await _token_in(request))
    return _INACTIVE if found is None else msgspec.json.encode(found)


@post(
    "/oauth/introspect/batch",
    opt=PUBLIC | {"json": _BATCH},
    status_code=200,
    media_type=MediaType.JSON,
    response_headers=NO_STORE,
    security=BEARER,
    summary="Introspect tokens",
    response_description="What each token stands for, in their order",
    responses={200: _MANY} | _ASKS_FOR_A_KEY,
)
async def introspect_batch(request: JsonRequest) -> bytes:
    """Say what up to 100 tokens stand for. Takes an API key."""
    services = services_of(request.app)
    await demand_key(request, services.api_keys, "introspect")
    if not is_json(headers_of(request.scope).get(b"content-type")):
        raise UnsupportedMediaType
    body: BatchBody = decode(await request.body(), BatchBody)
    if len(body.tokens) > _MOST_TOKENS:
        raise InvalidField("tokens", f"There may be {_MOST_TOKENS} tokens at the most.")
    found = await services.presented_tokens.introspect_all(body.tokens)
    said = [msgspec.Raw(_INACTIVE) if each is None else each for each in found]
    return msgspec.json.encode({"tokens": said})


async def _token_in(request: JsonRequest) -> str:
    """Read the token of a form. A parameter must not come twice (RFC 6749, section 3.2).

    Raises:
        UnsupportedMediaType: it is no form.
        InvalidField: it has no token.
    """
    kind = headers_of(request.scope).get(b"content-type", b"")
    if kind.partition(b";")[0].strip().lower() != _FORM:
        raise UnsupportedMediaType
    body = await request.body()
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise InvalidField("body", "The body cannot be read as a form.") from None
    names = [name for name, _ in pairs]
    if len(names) != len(set(names)):
        raise InvalidField("body", "A parameter came twice.")
    token = dict(pairs).get("token")
    if not token:
        raise InvalidField("token", "The parameter token is required.")
    return token


ROUTES = [metadata, revoke, introspect, introspect_batch]

DIRECT = [introspect]
"""Those that are asked most."""
