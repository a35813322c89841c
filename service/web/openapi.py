"""The OpenAPI document.

Litestar describes the routes; here the document gets what it does not know: the headers that all
answers carry, and that validation errors have our shape.
"""

import asyncio
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
from litestar import Litestar
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme

from service import __version__
from service.web import schema_fields
from service.web.answers import ErrorBody
from service.web.application import Application
from service.web.requests import JsonRequest

_KEY = "openapi"
_TITLE = "openapi_title"

_TEXT = {"type": "string"}
_REQUEST_ID = {"schema": _TEXT, "description": "The request's own id if it is well-formed, or ours"}
_CHALLENGE = {
    "schema": _TEXT,
    "description": '`Bearer realm="…"`; `error="invalid_token"` if a token was sent and refused; '
    '`error="insufficient_user_authentication"` with `max_age` if the last proof is too old',
}
_RETRY_AFTER = {"schema": {"type": "integer"}, "description": "Whole seconds"}

_CONFIRMATION: dict[str, Any] = {
    "Preference-Applied": {"schema": _TEXT, "description": "`wait`, where it was asked for"},
    "Guards-Confirmed": {
        "schema": {**_TEXT, "pattern": "^[0-9]+/[0-9]+$"},
        "description": "With `Prefer: wait=N`: how many guards refuse what has ended, and of "
        "how many that live",
    },
    "Revocation-Receipt": {"schema": _TEXT, "description": "With `Prefer: receipt`: a JWS"},
}
"""Headers of an end of sessions, where they are asked for."""
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "schema": _TEXT,
    "description": "`wait=N` (1 to 5 seconds), `receipt`, or both (RFC 7240)",
}

_SCOPE_IS_MISSING = "`insufficient_scope`"
_QUERY: dict[str, dict[str, Any]] = {"limit": {"type": "integer", "minimum": 1, "maximum": 1000}}
"""The schemas of parameters in a query that are no plain text."""

_REDIRECTION = {
    "Location": {"schema": {**_TEXT, "format": "uri"}},
    "Referrer-Policy": {"schema": {**_TEXT, "const": "no-referrer"}},
}

_HEADERS: dict[str, dict[str, Any]] = {
    "401": {"WWW-Authenticate": _CHALLENGE},
    "429": {"Retry-After": _RETRY_AFTER},
    "503": {"Retry-After": _RETRY_AFTER},
}


class About(msgspec.Struct, frozen=True):
    """What a document says of itself, of the credential that its calls ask for, and of settings;
    and by which class of requests they are declared."""

    root_path: str = ""
    cookies: bool = False
    password_min: int = 8
    title: str = "OpenShow Auth"
    description: str = "Sessions that end the moment a person logs out."
    credential: str = "JWT"
    request_class: type[JsonRequest] = JsonRequest


def state(routes: Sequence[HTTPRouteHandler], about: About) -> State:
    """Make the app state by which `document_of` finds the document of these routes.

    It is made when somebody asks first: it takes more CPU than all the rest of a start.
    """

    @cache
    def make() -> bytes:
        document = describe(routes, about)
        return msgspec.json.encode(document)

    return State({_KEY: make, _TITLE: about.title})


def title_of(app: Litestar) -> str:
    """Return the title of the document of the app."""
    title: str = app.state[_TITLE]
    return title


async def document_of(app: Litestar) -> bytes:
    """Return the document of the app, as JSON."""
    document: bytes = await asyncio.to_thread(app.state[_KEY])
    return document


def describe(routes: Sequence[HTTPRouteHandler], about: About) -> dict[str, Any]:
    """Describe these routes in an OpenAPI 3.1 document, as builtin types."""
    bearer = SecurityScheme(type="http", scheme="bearer", bearer_format=about.credential)
    config = OpenAPIConfig(
        title=about.title,
        version=__version__,
        description=about.description,
        components=Components(security_schemes={"bearer": bearer}),
        use_handler_docstrings=True,
        path="/described",  # out of the way of ours
    )
    # An app that only describes. One that also served would add pages whose errors are not ours.
    described = Application(
        list(routes),
        openapi_config=config,
        request_class=about.request_class,
        logging_config=None,
    )
    document: dict[str, Any] = msgspec.to_builtins(
        described.openapi_schema.to_schema(), enc_hook=str
    )
    shown = [handler for handler in routes if handler.resolve_include_in_schema()]
    for handler in shown:
        for path in handler.paths:
            operation = document["paths"][_without_types(path)][min(handler.http_methods).lower()]
            _complete(operation, handler)
    document["servers"] = [{"url": about.root_path or "/"}]
    schemas = document["components"]["schemas"]
    schema_fields.complete(schemas, cookies=about.cookies, password_min=about.password_min)
    if about.cookies:
        schema_fields.add_cookie_mode(document["paths"])
    return document


def _complete(operation: dict[str, Any], handler: HTTPRouteHandler) -> None:
    """Add the headers of each answer, and take out what Litestar would answer and we do not."""
    responses: dict[str, Any] = operation["responses"]
    if "400" in responses and not _is_error(responses["400"]):
        del responses["400"]
    own = {
        header.name: {"schema": {**_TEXT, "const": header.value}}
        for header in handler.resolve_response_headers()
    }
    if handler.opt.get("tells_how_far"):
        own |= _CONFIRMATION
        operation.setdefault("parameters", []).append(_PREFER)
    for status, response in responses.items():
        named = _HEADERS.get(status, {}) if _is_error(response) else own
        if status == "303":
            named = own | _REDIRECTION
        if _SCOPE_IS_MISSING in response.get("description", ""):
            named = _HEADERS["401"]
        response["headers"] = named | {"X-Request-Id": _REQUEST_ID}
        for content in response.get("content", {}).values():
            _let_overlap(content.get("schema", {}))
    operation["responses"] = dict(sorted(responses.items()))
    if query := handler.opt.get("query"):
        operation.setdefault("parameters", []).extend(
            {"name": name, "in": "query", "required": False, "schema": _QUERY.get(name, _TEXT)}
            for name in query
        )
    if fields := handler.opt.get("form"):
        operation["requestBody"] = _form(fields)
    if schema := handler.opt.get("json"):
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    elif "requestBody" in operation and not fields:
        operation["requestBody"]["required"] = not handler.opt.get("body_optional")


def _form(fields: Sequence[str]) -> dict[str, Any]:
    """Describe a form whose first field must be there."""
    properties = {fields[0]: {**_TEXT, "minLength": 1}} | dict.fromkeys(fields[1:], _TEXT)
    schema = {"type": "object", "properties": properties, "required": fields[:1]}
    return {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": schema}}}


def _let_overlap(schema: dict[str, Any]) -> None:
    """Say of bodies of several kinds that one is of any of them: it may have all fields of two."""
    if "oneOf" in schema:
        schema["anyOf"] = schema.pop("oneOf")


def _is_error(response: dict[str, Any]) -> bool:
    return ErrorBody.__name__ in str(response.get("content"))


def _without_types(path: str) -> str:
    """Spell `/a/{id:str}` as OpenAPI does, `/a/{id}`."""
    return path.replace(":str}", "}")
