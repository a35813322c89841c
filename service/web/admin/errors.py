"""The errors of operators' HTTP, as its OpenAPI document describes them."""

from litestar.openapi import ResponseSpec

from service.errors import (
    ApiKeyRequired,
    InsufficientScope,
    InvalidApiKey,
    ServiceError,
    StoreUnavailable,
    TooManyAttempts,
)
from service.web.routes.bodies import failures

SECURITY: list[dict[str, list[str]]] = [{"bearer": []}]


def refusals(*kinds: type[ServiceError], body: bool = False) -> dict[int, ResponseSpec]:
    """Describe these errors, and those of every call that asks for a key."""
    return failures(
        *kinds,
        ApiKeyRequired,
        InvalidApiKey,
        InsufficientScope,
        TooManyAttempts,
        StoreUnavailable,
        body=body,
    )
