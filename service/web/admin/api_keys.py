"""Operators' calls about API keys. They are there on a unix socket only.

A key may make and revoke such keys as can do no more than it can itself, and for no longer.
"""

import re
from datetime import UTC

from litestar import delete, get, post
from litestar.params import FromPath, JSONBody

from service.api_keys.keys import ApiKey, Scope, expiry_of, name_of, scopes_of
from service.clock import system_clock
from service.errors import ApiKeyNotFound, InsufficientScope, InvalidField, RevocationUnconfirmed
from service.operators import documents
from service.web.admin.bodies import (
    ApiKeysBody,
    MadeApiKeyBody,
    NewApiKeyBody,
    ReasonBody,
)
from service.web.admin.errors import SECURITY, refusals
from service.web.admin.requests import AdminRequest, needs
from service.web.routes.bodies import NO_STORE

_ID = re.compile(r"[0-9a-f]{16}", re.ASCII)


@post(
    "/admin/api-keys",
    opt=needs(None),
    status_code=201,
    response_headers=NO_STORE,
    security=SECURITY,
    summary="Make an API key",
    response_description="The key, which is not shown again",
    responses=refusals(InvalidField, RevocationUnconfirmed, body=True),
)
async def create_api_key(request: AdminRequest, data: JSONBody[NewApiKeyBody]) -> MadeApiKeyBody:
    """Make an API key that can do no more than the one that is shown."""
    why, name, scopes = request.why(data.reason), name_of(data.name), scopes_of(data.scopes)
    expires_at = data.expires_at
    if expires_at is not None:
        moment = expires_at.replace(tzinfo=expires_at.tzinfo or UTC)
        expires_at = expiry_of(moment, system_clock())
    _refuse_beyond(request.key, scopes)
    end = request.key.expires_at
    if end is not None and (expires_at is None or expires_at > end):
        raise InvalidField("expiresAt", "The key must not outlive the one that is shown.")
    made = await request.does.api_keys.create(
        name, scopes, expires_at, why.origin, by=why.by, reason=why.reason
    )
    return MadeApiKeyBody(documents.api_key(made.key), made.text)


@get(
    "/admin/api-keys",
    opt=needs(None),
    response_headers=NO_STORE,
    security=SECURITY,
    summary="List API keys",
    response_description="All API keys, the oldest first",
    responses=refusals(),
)
async def list_api_keys(request: AdminRequest) -> ApiKeysBody:
    """List all API keys, those that are of no use any more as well."""
    return ApiKeysBody([documents.api_key(key) for key in await request.does.api_keys.all()])


@delete(
    "/admin/api-keys/{id:str}",
    opt=needs(None),
    status_code=204,
    security=SECURITY,
    summary="Revoke an API key",
    response_description="The key is good nowhere in two seconds",
    responses=refusals(InvalidField, ApiKeyNotFound, RevocationUnconfirmed, body=True),
)
async def revoke_api_key(
    request: AdminRequest, id: FromPath[str], data: JSONBody[ReasonBody]
) -> None:
    """Revoke an API key for good."""
    why = request.why(data.reason)
    if not _ID.fullmatch(id):
        raise ApiKeyNotFound
    key = await request.does.api_keys.find(bytes.fromhex(id))
    _refuse_beyond(request.key, key.scopes)
    await request.does.api_keys.revoke(key, why.origin, by=why.by, reason=why.reason)


def _refuse_beyond(own: ApiKey, scopes: tuple[Scope, ...]) -> None:
    for scope in scopes:
        if scope not in own.scopes:
            raise InsufficientScope(scope)


ROUTES = [create_api_key, list_api_keys, revoke_api_key]
