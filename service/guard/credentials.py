"""Takes the access token out of a request: from its one Authorization header, or from where a
browser can put it only. Never from the query string or the body: those end up in logs.

| where                                     | by what                                     |
| ----------------------------------------- | ------------------------------------------- |
| `Authorization: Bearer <token>`           | everything that can set a header (RFC 6750) |
| the subprotocol `openshow.bearer.<token>` | a browser's `WebSocket`                     |
| the cookie `__Host-openshow_access`       | a browser's `EventSource`, if it may        |
"""

from collections.abc import Iterable, Sequence
from typing import Any

from .asgi_types import Scope
from .authentication import INVALID_TOKEN, NO_CREDENTIAL, Refused

Headers = Iterable[tuple[bytes, bytes]]
"""As in an ASGI scope: names in lower case."""

ACCESS_COOKIE = "__Host-openshow_access"
"""With this prefix browsers take it from the very host only, over HTTPS, for all of its paths."""

_AUTHORIZATION, _PROTOCOL = b"authorization", b"sec-websocket-protocol"
_OFFER = "openshow.bearer."
_TAKEN = "openshow_guard.taken"


class _Taken:
    """Tokens that were offered as subprotocols. Shows none."""

    __slots__ = ("tokens",)

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = tokens


def credential(scope: Scope, *, allow_cookie: bool = False) -> str:
    """Read the one credential of an HTTP or WebSocket request.

    Raises:
        Refused: there is none, or two of which others may see the one and we the other.
    """
    headers: Headers = scope["headers"]
    # In lower case, says ASGI. A name that is not would hide a second credential.
    sent = [value for name, value in headers if len(name) == 13 and name.lower() == _AUTHORIZATION]
    if scope["type"] == "websocket":
        if offered := offered_tokens(scope):
            if sent or len(offered) > 1:
                raise Refused(INVALID_TOKEN)
            return offered[0]
    elif allow_cookie and not sent:
        return _cookie(scope)
    return bearer_token(sent)


def bearer_token(sent: Sequence[bytes]) -> str:
    """Read the credential of RFC 6750, section 2.1, from all Authorization headers.

    The case of the scheme does not matter.

    Raises:
        Refused: there is none, or two headers of which others may see the one and we the other.
    """
    tokens = [value[7:].strip() for value in sent if value[:7].lower() == b"bearer "]
    if not any(tokens):
        raise Refused(NO_CREDENTIAL)
    if len(sent) > 1:
        raise Refused(INVALID_TOKEN)
    return tokens[0].decode("latin-1")


def offered_tokens(scope: Scope) -> Sequence[str]:
    """Take the tokens out of the subprotocols that a WebSocket offers, so that the app sees none.

    It cannot choose one then, and so send it back. They are remembered in the scope.
    """
    taken = scope.get(_TAKEN)
    if taken is None:
        taken = scope[_TAKEN] = _Taken(_withdraw(scope))
    tokens: Sequence[str] = taken.tokens
    return tokens


def _withdraw(scope: Scope) -> Sequence[str]:
    listed = list(scope.get("subprotocols") or ())
    named = [it for name, value in scope["headers"] if name.lower() == _PROTOCOL
             for it in _split(value.decode("latin-1"), ",")]  # fmt: skip
    offers = [it for it in listed if _is_offer(it)]
    offers_named = [it for it in named if _is_offer(it)]
    if not offers and not offers_named:
        return ()
    _keep(scope, "subprotocols", [it for it in listed if not _is_offer(it)])
    others = ", ".join(it for it in named if not _is_offer(it)).encode("latin-1")
    rest = [it for it in scope["headers"] if it[0].lower() != _PROTOCOL]
    _keep(scope, "headers", [*rest, (_PROTOCOL, others)] if others else rest)
    # Server and header should say the same; where they do not, these are two credentials.
    differ = offers and offers_named and offers != offers_named
    found = [*offers, *offers_named] if differ else offers or offers_named
    return [it[len(_OFFER) :] for it in found]


def _keep(scope: Scope, name: str, values: list[Any]) -> None:
    """Replace a list of the scope. In place, as what was made from the scope refers to it."""
    if isinstance(scope.get(name), list):
        scope[name][:] = values
    else:
        scope[name] = values


def _is_offer(subprotocol: str) -> bool:
    return subprotocol[: len(_OFFER)].lower() == _OFFER


def _cookie(scope: Scope) -> str:
    """Read the access cookie of what an `EventSource` asks for, of this origin.

    A cookie comes along with whatever a browser sends, so nothing else is taken from it. That the
    page is of this origin is what the browser says, and no page can.

    Raises:
        Refused: there is none that counts here, or two.
    """
    sent: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        sent.setdefault(name.lower(), []).append(value)
    if (
        scope["method"] != "GET"
        or sent.get(b"sec-fetch-site") != [b"same-origin"]
        or not any(b"text/event-stream" in value.lower() for value in sent.get(b"accept", ()))
    ):
        raise Refused(NO_CREDENTIAL)
    pairs = [
        pair.partition("=")
        for value in sent.get(b"cookie", ())
        for pair in _split(value.decode("latin-1"), ";")
    ]
    found = [value.strip() for name, _, value in pairs if name.strip() == ACCESS_COOKIE]
    if not any(found):
        raise Refused(NO_CREDENTIAL)
    if len(found) > 1:
        raise Refused(INVALID_TOKEN)
    return found[0]


def _split(text: str, separator: str) -> list[str]:
    return [part.strip() for part in text.split(separator) if part.strip()]
