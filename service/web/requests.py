"""Checks and reads a request before its handler runs.

The order is the contract's: 414 and 431 (`RequestMiddleware`) → 404 and 405 (the router) → 413 →
401 → 415 → 400 (the body). Whether the session lives is asked of Redis where it decides: by the use
case, or before a request is refused for its body.
"""

from collections.abc import Mapping
from typing import Any

from litestar import Request
from litestar.connection.base import empty_receive, empty_send
from litestar.datastructures import State
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.types import Receive, Scope, Send

from service.errors import InvalidField
from service.sessions.access_tokens import Caller
from service.sessions.origin import RequestOrigin
from service.web.addresses import TrustedProxies
from service.web.errors import ClientGone
from service.web.headers import HEADERS
from service.web.json_body import decode
from service.web.limits import BODY_LIMIT
from service.web.services import services_of

_PROXIES = "proxies"


class JsonRequest(Request[Caller, Any, State]):
    """A request whose body is a JSON object. `user` is not there on public routes."""

    __slots__ = ("_read",)

    def __init__(
        self, scope: Scope, receive: Receive = empty_receive, send: Send = empty_send
    ) -> None:
        super().__init__(scope, receive, send)
        self._read: bytes | None = None

    async def body(self) -> bytes:
        """Read the body. None and `null` count as `{}`, so that what is missing is named as always.

        Raises:
            RequestEntityTooLarge: over the limit, whatever the headers say.
            ClientGone: the client did not finish it.
        """
        if self._read is not None:
            return self._read
        received = b""
        while True:
            message = await self.receive()
            if message["type"] != "http.request":
                raise ClientGone
            received += message["body"]
            if len(received) > BODY_LIMIT:
                raise RequestEntityTooLarge
            if not message.get("more_body"):
                self._read = b"{}" if received in (b"", b"null") else received
                return self._read

    async def json(self) -> Any:
        """Decode the body as the `data` parameter of the route's handler declares it.

        Raises:
            InvalidField: the body is not JSON, or not of that form.
            InvalidAccessToken: so it is, and the caller's session has ended.
        """
        field = self.route_handler.parsed_data_field
        assert field  # noqa: S101  Litestar asks for the JSON of those handlers only
        try:
            return decode(await self.body(), field.annotation)
        except InvalidField:
            await self.demand_caller()
            raise

    async def demand_caller(self) -> None:
        """Refuse a caller who is none any more: before anything is said about the body."""
        await demand_session(self)


async def demand_session(request: Request[Any, Any, Any]) -> None:
    """Refuse a caller whose session has ended: before anything is said about the body.

    Not on public routes, nor where the tokens of an ended session have an answer of their own.

    Raises:
        InvalidAccessToken
        StoreUnavailable
    """
    opt = request.route_handler.opt
    if opt.get("public") is not True and opt.get("ended_session") is not True:
        await services_of(request.app).sessions.current(request.user)


def trusting(proxies: TrustedProxies) -> State:
    """Make the app state by which these proxies are believed."""
    return State({_PROXIES: proxies})


def proxies_of(request: JsonRequest) -> TrustedProxies:
    """Return the proxies that the app believes."""
    proxies: TrustedProxies = request.app.state[_PROXIES]
    return proxies


def origin_of(request: JsonRequest) -> RequestOrigin:
    """Find out who sent this request: address, user agent and request id."""
    scope, headers = request.scope, headers_of(request.scope)
    peer, proxies = scope["client"], proxies_of(request)
    return RequestOrigin(
        address=proxies.client(peer[0], headers.get(b"x-forwarded-for", b"")) if peer else None,
        user_agent=_text(headers.get(b"user-agent", b"")),
        request_id=scope["state"]["request_id"],
        languages=_text(headers.get(b"accept-language", b"")),
    )


def headers_of(scope: Scope) -> Mapping[bytes, bytes]:
    """Return the headers by lower-case name, as `RequestMiddleware` left them: several joined."""
    headers: Mapping[bytes, bytes] = scope["state"][HEADERS]
    return headers


def _text(value: bytes) -> str:
    """Decode a header that is not restricted to ASCII."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
