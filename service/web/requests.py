"""Checks and reads a request before its handler runs.

The order is the contract's: 414 and 431 (`RequestMiddleware`) → 404 and 405 (the router) → 413 →
401 → 415 → 400 (the body).
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from litestar import Litestar, Request
from litestar.datastructures import State
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.routes import HTTPRoute
from litestar.types import Scope

from service.errors import InvalidAccessToken, Unauthenticated
from service.sessions.access_tokens import Caller
from service.sessions.origin import RequestOrigin
from service.web.addresses import Network, TrustedProxies
from service.web.errors import ClientGone, UnsupportedMediaType
from service.web.json_body import decode
from service.web.limits import BODY_LIMIT
from service.web.services import services_of

_PROXIES = "proxies"
_LONGEST_MEDIA_TYPE = 256  # characters; what is longer is none of ours, and not kept


class JsonRequest(Request[Caller, Any, State]):
    """A request whose body is a JSON object. `user` is not there on public routes."""

    __slots__ = ("_read",)

    _read: bytes

    async def body(self) -> bytes:
        """Read the body. None and `null` count as `{}`, so that what is missing is named as always.

        Raises:
            RequestEntityTooLarge: over the limit, whatever the headers say.
            ClientGone: the client did not finish it.
        """
        try:
            return self._read
        except AttributeError:
            received = await self._receive_body()
            self._read = b"{}" if received in (b"", b"null") else received
            return self._read

    async def json(self) -> Any:
        """Decode the body as the `data` parameter of the route's handler declares it.

        Raises:
            InvalidField: the body is not JSON, or not of that form.
        """
        field = self.route_handler.parsed_data_field
        assert field  # noqa: S101  Litestar asks for the JSON of those handlers only
        return decode(await self.body(), field.annotation)

    async def _receive_body(self) -> bytes:
        received = b""
        while True:
            message = await self.receive()
            if message["type"] != "http.request":
                raise ClientGone
            received += message["body"]
            if len(received) > BODY_LIMIT:
                raise RequestEntityTooLarge
            if not message.get("more_body"):
                return received


async def admit(request: Request[Any, Any, Any]) -> None:
    """Check size, then credential, then media type, before any handler runs.

    Routes without `opt={"public": True}` get the caller as `request.user`.
    """
    scope, handler = request.scope, request.route_handler
    headers = headers_of(scope)
    announced = headers.get(b"content-length")
    if announced is not None:
        if int(announced) > BODY_LIMIT:
            raise RequestEntityTooLarge
    elif b"transfer-encoding" in headers:
        await request.body()
    if handler.opt.get("public") is not True:
        scope["user"] = services_of(request.app).access_tokens.verify(_bearer(headers))
    if handler.parsed_data_field and not _is_json(headers.get(b"content-type")):
        raise UnsupportedMediaType


def answer_options_to_anybody(app: Litestar) -> None:
    """Mark as public what Litestar itself has added to each path: OPTIONS, which names methods."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if handler.fn.__module__ == HTTPRoute.__module__:
                handler.opt.update(public=True)


def trusting(networks: Sequence[Network]) -> State:
    """Make the app state by which `origin_of` believes the proxies in these networks."""
    return State({_PROXIES: TrustedProxies(networks)})


def origin_of(request: JsonRequest) -> RequestOrigin:
    """Find out who sent this request: address, user agent and request id."""
    scope, headers = request.scope, headers_of(request.scope)
    peer = scope["client"]
    proxies: TrustedProxies = request.app.state[_PROXIES]
    return RequestOrigin(
        address=proxies.client(peer[0], headers.get(b"x-forwarded-for", b"")) if peer else None,
        user_agent=_text(headers.get(b"user-agent", b"")),
        request_id=scope["state"]["request_id"],
    )


def headers_of(scope: Scope) -> Mapping[bytes, bytes]:
    """Return the headers by lower-case name, as `RequestMiddleware` left them: several joined."""
    headers: Mapping[bytes, bytes] = scope["state"]["headers"]
    return headers


def _bearer(headers: Mapping[bytes, bytes]) -> str:
    """Read the credential of RFC 6750, section 2.1; the scheme's case does not matter."""
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    token = token.strip()
    if not token or scheme.lower() != b"bearer":
        raise Unauthenticated
    if b"," in token:  # several credentials
        raise InvalidAccessToken
    return token.decode("latin-1")


def _text(value: bytes) -> str:
    """Decode a header that is not restricted to ASCII."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _is_json(content_type: bytes | None) -> bool:
    if content_type is not None and len(content_type) > _LONGEST_MEDIA_TYPE:
        return False
    return _names_json(content_type)


@functools.lru_cache(maxsize=64)
def _names_json(content_type: bytes | None) -> bool:
    media_type = (content_type or b"").partition(b";")[0].strip().lower()
    return media_type in (b"", b"application/json") or (
        media_type.startswith(b"application/") and media_type.endswith(b"+json")
    )
