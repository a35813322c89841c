"""Asks for an API key on every route of operators, and reads what they send."""

import re
from typing import Any
from urllib.parse import parse_qs

from litestar import Request

from service.api_keys.keys import ApiKey, Scope
from service.errors import InsufficientScope, InvalidField, UserNotFound
from service.operators.operations import Operations
from service.operators.request import ADMIN, OperatorRequest, reason
from service.web.admin.services import admin_services_of
from service.web.api_keys import demand_key
from service.web.authentication import check_length
from service.web.errors import UnsupportedMediaType
from service.web.json_body import is_json
from service.web.requests import JsonRequest, headers_of, origin_of

_SCOPE, _MORE = "scope", "more"
_USER_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)

MOST = 1_000
"""The most entries of a page."""

PAGE = 100
"""The entries of a page, unless it is said otherwise."""


class AdminRequest(JsonRequest):
    """A request of an operator's. `key` is the API key that was shown."""

    __slots__ = ()

    async def demand_caller(self) -> None:
        """Do nothing: nobody's session has to live."""

    @property
    def key(self) -> ApiKey:
        """The API key that was shown."""
        key: ApiKey = self.scope["auth"]
        return key

    @property
    def does(self) -> Operations:
        """The use cases."""
        return admin_services_of(self.app).does

    def why(self, text: str) -> OperatorRequest:
        """Say who asks for a change, and why.

        Raises:
            InvalidField: the reason says nothing, or is none.
        """
        return OperatorRequest(f"{ADMIN}{self.key.id.hex()}", reason(text), origin_of(self))


def needs(scope: Scope | None, *more: Scope) -> dict[str, Any]:
    """Make the `opt` of a route that asks for these scopes. `None`: for any good key."""
    return {_SCOPE: scope, _MORE: more}


async def authenticate(request: Request[Any, Any, Any]) -> None:
    """Check size, then key and scope, then media type, before any handler runs."""
    assert isinstance(request, AdminRequest)  # noqa: S101  the app makes no other
    scope, handler = request.scope, request.route_handler
    headers = headers_of(scope)
    is_in_chunks = check_length(headers)
    if is_in_chunks:
        await request.body()
    if handler.opt.get("public") is not True:
        keys = admin_services_of(request.app).keys
        key = scope["auth"] = await demand_key(request, keys, handler.opt[_SCOPE])
        for needed in handler.opt[_MORE]:
            if needed not in key.scopes:
                raise InsufficientScope(needed)
    if handler.parsed_data_field and not is_json(headers.get(b"content-type")):
        raise UnsupportedMediaType


def user_id_in(text: str) -> bytes:
    """Read the id of a user in a path.

    Raises:
        UserNotFound: it is none.
    """
    if not _USER_ID.fullmatch(text):
        raise UserNotFound
    return bytes.fromhex(text)


class Query:
    """The query of a request. Of a name given twice the last counts.

    Not `request.query_params`: Litestar keeps each query that it has parsed, and what it made.
    """

    def __init__(self, request: AdminRequest) -> None:
        text = request.scope["query_string"].decode("latin-1")
        self._values = {name: values[-1] for name, values in parse_qs(text).items()}

    def text(self, name: str) -> str | None:
        """Return the value of this name; `None` where it is not there, or empty."""
        return self._values.get(name)

    def limit(self) -> int:
        """Return how many entries a page may have.

        Raises:
            InvalidField: that is no number from 1 to `MOST`.
        """
        text = self._values.get("limit", str(PAGE))
        if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MOST):
            raise InvalidField("limit", f"limit must be 1 to {MOST:,}.")
        return int(text)

    def id(self, name: str, size: int) -> bytes | None:
        """Return the id of `size` bytes under this name, if there is one.

        Raises:
            InvalidField: it is none.
        """
        text = self._values.get(name)
        if text is None:
            return None
        if not re.fullmatch(f"[0-9a-f]{{{2 * size}}}", text, re.ASCII):
            raise InvalidField(name, f"{name} must be an id, {2 * size} hex digits.")
        return bytes.fromhex(text)
