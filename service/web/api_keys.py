"""Asks for an API key, and for a scope that it must have."""

from service.api_keys.keys import ApiKey, Scope
from service.api_keys.verification import ApiKeys
from service.errors import (
    ApiKeyRequired,
    InsufficientScope,
    InvalidAccessToken,
    InvalidApiKey,
    Unauthenticated,
)
from service.web.authentication import bearer
from service.web.exchange import API_KEY
from service.web.requests import JsonRequest, headers_of, origin_of


async def demand_key(request: JsonRequest, known: ApiKeys, scope: Scope | None) -> ApiKey:
    """Return the API key of a request. `None`: whatever scope it has.

    Raises:
        ApiKeyRequired: there is none.
        InvalidApiKey
        InsufficientScope
        TooManyAttempts
        StoreUnavailable
    """
    try:
        text = bearer(headers_of(request.scope))
    except InvalidAccessToken:
        raise InvalidApiKey from None
    except Unauthenticated:
        raise ApiKeyRequired from None
    key = await known.verify(text, lambda: origin_of(request))
    request.scope["state"][API_KEY] = key.id.hex()
    if scope is not None and scope not in key.scopes:
        raise InsufficientScope(scope)
    return key
