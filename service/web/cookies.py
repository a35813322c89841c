"""Cookie mode (`SERVICE_COOKIES`): browsers keep the refresh token where no script can read it.

Who sends `X-Session-Mode: cookie` gets the token as a cookie and none in the body. What came by
cookie counts only with the `Origin` of a page that may call (RFC 6265bis, section 8.8.1, leaves
forged calls from pages of the same site to the server), and is answered by cookie.

Racing tabs get one successor of one rotation, and so the very same cookie: its life is counted from
the rotation. It is cleared by the 204 of a logout by cookie alone: any other answer may come late,
when another tab has a newer one already.
"""

from collections.abc import Collection
from typing import Any, TypeVar

import msgspec
from litestar.datastructures import State

from service.errors import InvalidField, InvalidRefreshToken, OriginNotAllowed
from service.sessions.token_pair import TokenPair
from service.web.addresses import names_loopback
from service.web.requests import JsonRequest, demand_session, headers_of, proxies_of
from service.web.responses import add_headers
from service.web.routes.bodies import TokenPairBody

COOKIE = "__Host-openshow_refresh"
LOOPBACK_COOKIE = "openshow_refresh"
"""Where all is plain http on this machine: there is no TLS for `Secure`, and nobody to listen."""

_KEY = "cookies"
_ATTRIBUTES = "Path=/; HttpOnly; SameSite=Lax"
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}

_FOREIGN = (
    "A cookie counts only with the Origin of this service or of one in SERVICE_ORIGINS; "
    "send the refresh token in the body, or call from such a page."
)
_THIRD_PARTY = (
    "This page is of another site than the service, and browsers keep cookies of other sites away "
    "from it: serve both under one site, or leave out X-Session-Mode and keep tokens."
)


TokensBody = TypeVar("TokensBody", bound=TokenPairBody)


class Presented(msgspec.Struct, frozen=True):
    """A refresh token that a request has brought, a secret, and how its successor is to go out."""

    text: str
    by_cookie: bool
    answer_by_cookie: bool

    def __repr__(self) -> str:
        return f"Presented(by_cookie={self.by_cookie})"


def allowing(origins: Collection[str] | None) -> State:
    """Make the app state of cookie mode for pages of these `origins`; `None`: it is off."""
    return State({_KEY: None if origins is None else frozenset(origins)})


async def presented(request: JsonRequest, in_body: Any, *, required: bool = True) -> Presented:
    """Find the refresh token of a request: that in its body, else that of the cookie.

    Where it is not `required`, it may be empty.

    Raises:
        InvalidField: there is none.
        InvalidRefreshToken: there are two cookies of the name, or none where one was announced.
        OriginNotAllowed: it came by cookie, and the page that sent it may not call.
        InvalidAccessToken: one of these, and the caller's session has ended.
    """
    is_on = request.app.state[_KEY] is not None
    by_cookie = is_on and await wants_cookie(request)
    if isinstance(in_body, str) and in_body:
        return Presented(in_body, False, by_cookie)
    cookies = _cookies(request) if is_on else []
    if any(cookies):
        if not _may_use_cookie(request):
            await demand_session(request)
            raise OriginNotAllowed(_FOREIGN)
        if len(cookies) == 1:
            return Presented(cookies[0], True, True)
    elif not required or in_body == "":
        return Presented("", False, by_cookie)
    await demand_session(request)
    if by_cookie or cookies:
        raise InvalidRefreshToken
    said = "must be a string" if in_body is None else "is required"
    raise InvalidField("refreshToken", f"The field refreshToken {said}.")


async def wants_cookie(request: JsonRequest) -> bool:
    """Tell whether the tokens that this request is to get go out by cookie.

    Raises:
        OriginNotAllowed: the browser would not keep it.
    """
    headers = headers_of(request.scope)
    if headers.get(b"x-session-mode") != b"cookie" or request.app.state[_KEY] is None:
        return False
    if headers.get(b"sec-fetch-site") == b"cross-site":
        await demand_session(request)
        raise OriginNotAllowed(_THIRD_PARTY)
    return True


def with_tokens(
    request: JsonRequest, body: TokensBody, tokens: TokenPair, by_cookie: bool
) -> TokensBody:
    """Return the body of an answer with tokens: `by_cookie`, the refresh token goes there alone."""
    if not by_cookie:
        return body
    add_headers(request, {"Set-Cookie": _spelt(request, tokens.refresh_token, tokens.lasts)})
    return msgspec.structs.replace(body, refresh_token=msgspec.UNSET)


def clear_cookie(request: JsonRequest) -> None:
    """Take the cookie away with the answer to a logout."""
    add_headers(request, {"Set-Cookie": _spelt(request, "", 0)})


def _spelt(request: JsonRequest, value: str, life: int) -> str:
    name, secure = (LOOPBACK_COOKIE, "") if _is_on_loopback(request) else (COOKIE, "; Secure")
    return f"{name}={value}; Max-Age={life}; {_ATTRIBUTES}{secure}"


def _cookies(request: JsonRequest) -> list[str]:
    """Return the values of all cookies of the name that counts here."""
    name = LOOPBACK_COOKIE if _is_on_loopback(request) else COOKIE
    pairs = headers_of(request.scope).get(b"cookie", b"").decode("latin-1").split(";")
    split = (pair.strip().partition("=") for pair in pairs)
    return [value for found, _, value in split if found == name]


def _may_use_cookie(request: JsonRequest) -> bool:
    headers = headers_of(request.scope)
    origin = headers.get(b"origin", b"").decode("latin-1")
    if origin in request.app.state[_KEY]:
        return True
    scheme, host = _scheme(request), headers.get(b"host", b"").decode("latin-1").lower()
    return bool(host) and origin == f"{scheme}://{host.removesuffix(_DEFAULT_PORTS[scheme])}"


def _scheme(request: JsonRequest) -> str:
    """Return `http` or `https`, as the browser sees it."""
    peer, headers = request.scope["client"], headers_of(request.scope)
    forwarded = headers.get(b"x-forwarded-for", b""), headers.get(b"x-forwarded-proto", b"")
    return proxies_of(request).scheme(peer[0], *forwarded) if peer else "http"


def _is_on_loopback(request: JsonRequest) -> bool:
    """Tell whether client, connection and name are plain http on this machine."""
    peer, headers = request.scope["client"], headers_of(request.scope)
    if not peer or _scheme(request) != "http":
        return False
    client = proxies_of(request).client(peer[0], headers.get(b"x-forwarded-for", b""))
    return client is not None and client.is_loopback and names_loopback(headers.get(b"host", b""))
