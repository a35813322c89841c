"""Asks for an access token on every route that is not public, before its handler runs."""

from collections.abc import Mapping
from typing import Any

from litestar import Litestar, Request
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.routes import HTTPRoute

from service.errors import InvalidAccessToken, Unauthenticated
from service.web.errors import UnsupportedMediaType
from service.web.json_body import is_json
from service.web.limits import BODY_LIMIT
from service.web.requests import demand_session, headers_of
from service.web.services import services_of

PUBLIC = {"public": True}
"""The `opt` of routes that need no access token; `authenticate` asks for one on all others."""

BEARER: list[dict[str, list[str]]] = [{"bearer": []}]
"""The OpenAPI security requirement of those others."""


async def authenticate(request: Request[Any, Any, Any]) -> None:
    """Check size, then credential, then media type, before any handler runs.

    Routes without `opt={"public": True}` get the caller as `request.user`.
    """
    scope, handler = request.scope, request.route_handler
    headers = headers_of(scope)
    is_in_chunks = check_length(headers)
    if is_in_chunks:
        await request.body()
    if handler.opt.get("public") is not True:
        scope["user"] = services_of(request.app).access_tokens.verify(bearer(headers))
    if handler.parsed_data_field and not is_json(headers.get(b"content-type")):
        await demand_session(request)
        raise UnsupportedMediaType


def check_length(headers: Mapping[bytes, bytes]) -> bool:
    """Refuse a body that is said to be too large. Tell whether only its end tells its length: then
    it is to be read before all else.

    Raises:
        RequestEntityTooLarge
    """
    announced = headers.get(b"content-length")
    if announced is None:
        return b"transfer-encoding" in headers
    if int(announced) > BODY_LIMIT:
        raise RequestEntityTooLarge
    return False


def answer_options_to_anybody(app: Litestar) -> None:
    """Mark as public what Litestar itself has added to each path: OPTIONS, which names methods."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if handler.fn.__module__ == HTTPRoute.__module__:
                handler.opt.update(public=True, methods=", ".join(route.methods))


def bearer(headers: Mapping[bytes, bytes]) -> str:
    """Read the credential of RFC 6750, section 2.1; the scheme's case does not matter.

    Raises:
        Unauthenticated: there is none.
        InvalidAccessToken: there are several.
    """
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    token = token.strip()
    if not token or scheme.lower() != b"bearer":
        raise Unauthenticated
    if b"," in token:  # several credentials
        raise InvalidAccessToken
    return token.decode("latin-1")
