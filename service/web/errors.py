"""Answers errors: by the table of `answers.py`, with the headers that belong to each."""

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import ClientException, HTTPException, MethodNotAllowedException
from litestar.types import ExceptionHandlersMap

from service import errors
from service.web import oauth_errors
from service.web.answers import FRAMEWORK, TABLE, Answer, ErrorBody, ErrorDetail, FieldError

log = structlog.get_logger()

RETRY_AFTER_OUTAGE = 1
"""Seconds after which a client may ask again when a store could not be reached."""


FAILURE = "failure"
"""The name in the state of a request's scope of its `Failure`."""


class Failure(msgspec.Struct, frozen=True):
    """What a request's line in the log says went wrong, and about whom. No value that was sent."""

    code: str
    reason: str
    user_id: bytes = b""
    account: bytes = b""


class UnsupportedMediaType(ClientException):
    """The body is declared to be something else than JSON."""

    status_code = 415


class ClientGone(Exception):
    """The client closed the connection before it had sent all of its request."""


_CHALLENGE = 'Bearer realm="openshow"'  # RFC 6750, section 3: at least one parameter
_REFUSED_CHALLENGE = f'{_CHALLENGE}, error="invalid_token"'

_CLIENT_GONE = 499  # nginx's number for it; only the log ever sees it


def shaped(
    answer: Answer, path: str, message: str, details: Sequence[FieldError] = ()
) -> tuple[int, ErrorBody | oauth_errors.OAuthErrorBody]:
    """Return status and body of an error at this path, in the shape that errors have there."""
    if path in oauth_errors.PATHS:
        return oauth_errors.spelt(answer, message, path)
    return answer.status, ErrorBody(ErrorDetail(answer.code, message, details))


def on_service_error(request: Request[Any, Any, Any], error: errors.ServiceError) -> Response[Any]:
    """Answer a domain error by the table."""
    answer = next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), None)
    if answer is None:
        return on_defect(request, error)
    headers: dict[str, str] = {}
    if answer.status == 401 or isinstance(error, errors.InsufficientScope):
        headers["WWW-Authenticate"] = _challenge(error)
    if isinstance(error, errors.Delayed):
        headers["Retry-After"] = str(error.retry_after)
    elif answer.status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_OUTAGE)
        log.warning(
            "unavailable",
            request_id=request.scope["state"]["request_id"],
            reason=str(error),
            cause=type(error.__cause__).__name__,
        )
    details: Sequence[FieldError] = ()
    if isinstance(error, errors.InvalidField):
        details = [FieldError(error.field, error.message)]
    reason = str(error) or _in_words(type(error).__name__)
    request.scope["state"][FAILURE] = Failure(answer.code, reason, error.user_id, error.account)
    return _respond(request, answer, headers, str(error), details)


def on_framework_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """Answer an error of Litestar's own in our shape."""
    answer = FRAMEWORK.get(error.status_code)
    if answer is None or answer.status == 500:
        return on_defect(request, error)
    headers = {}
    if isinstance(error, MethodNotAllowedException):
        headers["Allow"] = allow((error.headers or {})["allow"])
    request.scope["state"][FAILURE] = Failure(answer.code, answer.message or "")
    return _respond(request, answer, headers)


def on_client_gone(request: Request[Any, Any, Any], error: ClientGone) -> Response[None]:
    """Answer a client that has gone, for the log: nobody reads it."""
    failure = Failure("client_gone", "The client closed the connection.")
    request.scope["state"][FAILURE] = failure
    return Response(None, status_code=_CLIENT_GONE)


def on_defect(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Answer anything unforeseen: logged with its traceback, told to nobody."""
    log.error("unhandled error", exc_info=error, request_id=request.scope["state"]["request_id"])
    answer = FRAMEWORK[500]
    request.scope["state"][FAILURE] = Failure(answer.code, _in_words(type(error).__name__))
    return _respond(request, answer)


HANDLERS: ExceptionHandlersMap = {
    errors.ServiceError: on_service_error,
    HTTPException: on_framework_error,
    ClientGone: on_client_gone,
    Exception: on_defect,
}


def allow(methods: str) -> str:
    """Spell the Allow header for the methods of a route. Where there is GET, there is HEAD."""
    names = {name.strip() for name in methods.split(",")}
    return ", ".join(sorted(names | ({"HEAD"} if "GET" in names else set())))


@functools.cache
def _in_words(name: str) -> str:
    """Spell the name of an error: `InvalidAccessToken` as `invalid access token`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def _challenge(error: errors.ServiceError) -> str:
    """Spell what a 401 asks for (RFC 6750, section 3; RFC 9470, section 3)."""
    if isinstance(error, errors.AuthenticationNotRecent):
        return f'{_CHALLENGE}, error="insufficient_user_authentication", max_age="{error.max_age}"'
    if isinstance(error, errors.InsufficientScope):
        return f'{_CHALLENGE}, error="insufficient_scope", scope="{error.scope}"'
    refused = errors.InvalidAccessToken, errors.InvalidApiKey
    return _REFUSED_CHALLENGE if isinstance(error, refused) else _CHALLENGE


def _respond(
    request: Request[Any, Any, Any],
    answer: Answer,
    headers: Mapping[str, str] | None = None,
    own_message: str = "",
    details: Sequence[FieldError] = (),
) -> Response[Any]:
    status, body = shaped(answer, request.scope["path"], answer.message or own_message, details)
    return Response(body, status_code=status, headers=headers, media_type="application/json")
