"""The one table that maps errors to answers, and the one shape that these have."""

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

log = structlog.get_logger()

RETRY_AFTER_OUTAGE = 1
"""Seconds after which a client may ask again when a store could not be reached."""


FAILURE = "failure"
"""The name in the state of a request's scope of what its line in the log says went wrong: code, and
reason. Never a value that was sent."""


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field of the body. Never its value."""

    field: str
    message: str


class ErrorDetail(msgspec.Struct, frozen=True, omit_defaults=True):
    """`code` is for programs, `message` for people."""

    code: str
    message: str
    details: Sequence[FieldError] = ()


class ErrorBody(msgspec.Struct, frozen=True):
    """The shape of every error."""

    error: ErrorDetail


class Answer(msgspec.Struct, frozen=True):
    """The answer to an error. Without a `message`, the error's own is shown."""

    status: int
    code: str
    message: str | None = None


TABLE: dict[type[errors.ServiceError], Answer] = {
    errors.InvalidField: Answer(400, "bad_request"),
    errors.MissingRefreshToken: Answer(
        400, "bad_request", "Refresh token is required in the body for revocation."
    ),
    errors.WeakPassword: Answer(400, "weak_password"),
    errors.EmailTaken: Answer(409, "email_taken", "An account with this e-mail address exists."),
    errors.InvalidCredentials: Answer(
        401, "invalid_credentials", "The e-mail address or the password is wrong."
    ),
    errors.AccountDisabled: Answer(
        403, "account_disabled", "This account is disabled; ask whoever runs this service."
    ),
    errors.InvalidCode: Answer(
        400, "invalid_code", "The code is wrong, or it was used before; try the next one."
    ),
    errors.ChallengeFailed: Answer(
        401, "invalid_code", "The code is wrong, or it was used before; try the next one."
    ),
    errors.ChallengeNotFound: Answer(
        401, "challenge_not_found", "The login has expired or was completed; log in again."
    ),
    errors.AlreadyEnabled: Answer(
        400, "already_enabled", "2FA is already enabled on this account."
    ),
    errors.NotEnabled: Answer(400, "not_enabled", "2FA is not enabled on this account."),
    errors.EnrollmentNotFound: Answer(
        400, "enrollment_not_found", "No such enrolment is pending; enable 2FA again."
    ),
    errors.Unauthenticated: Answer(
        401, "unauthorized", "Send an access token: Authorization: Bearer <token>."
    ),
    errors.InvalidAccessToken: Answer(
        401, "unauthorized", "The access token is not valid any more; refresh it or log in."
    ),
    errors.InvalidRefreshToken: Answer(
        401, "invalid_refresh_token", "The refresh token is not valid; log in again."
    ),
    errors.RefreshTokenReused: Answer(
        401,
        "refresh_token_reused",
        "The refresh token was used before. The session has been ended; log in again.",
    ),
    errors.NothingToRevoke: Answer(
        400, "session_not_found", "Session not found or already revoked."
    ),
    errors.SessionNotFound: Answer(404, "session_not_found", "You have no such session."),
    errors.TooManyAttempts: Answer(
        429, "rate_limited", "Too many attempts; try again after the time in Retry-After."
    ),
    errors.Overloaded: Answer(
        503, "service_unavailable", "The service is busy; try again after the time in Retry-After."
    ),
    errors.SealBroken: Answer(
        503, "service_unavailable", "A stored secret cannot be opened at the moment; try again."
    ),
    errors.RevocationUnconfirmed: Answer(
        503,
        "revocation_unconfirmed",
        "The change is not yet as durable as configured; try again until it is.",
    ),
    errors.StoreUnavailable: Answer(
        503, "service_unavailable", "A store cannot be reached at the moment; try again."
    ),
}

FRAMEWORK: dict[int, Answer] = {
    400: Answer(400, "bad_request", "The request cannot be read."),
    404: Answer(404, "not_found", "There is nothing at this address."),
    405: Answer(405, "method_not_allowed", "This address does not take this method; see Allow."),
    408: Answer(408, "request_timeout", "The request did not come in within the time for it."),
    413: Answer(413, "payload_too_large", "The body is larger than 65,536 bytes."),
    414: Answer(414, "uri_too_long", "The query is longer than 1,024 bytes."),
    415: Answer(415, "unsupported_media_type", "The body must be JSON (application/json)."),
    431: Answer(
        431, "headers_too_large", "The headers are more than 100, or larger than 65,536 bytes."
    ),
    500: Answer(500, "server_error", "Something went wrong here. It has been logged."),
}
"""What the framework and the server themselves refuse."""


class UnsupportedMediaType(ClientException):
    """The body is declared to be something else than JSON."""

    status_code = 415


class ClientGone(Exception):
    """The client closed the connection before it had sent all of its request."""


_CHALLENGE = 'Bearer realm="openshow"'  # RFC 6750, section 3: at least one parameter
_REFUSED_CHALLENGE = f'{_CHALLENGE}, error="invalid_token"'

_CLIENT_GONE = 499  # nginx's number for it; only the log ever sees it


def as_json(answer: Answer) -> bytes:
    """Spell the body of an answer outside of the framework. It must have a message."""
    return msgspec.json.encode(ErrorBody(ErrorDetail(answer.code, answer.message or "")))


def on_service_error(request: Request[Any, Any, Any], error: errors.ServiceError) -> Response[Any]:
    """Answer a domain error by the table."""
    answer = next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), None)
    if answer is None:
        return on_defect(request, error)
    headers: dict[str, str] = {}
    if answer.status == 401:
        refused = isinstance(error, errors.InvalidAccessToken)
        headers["WWW-Authenticate"] = _REFUSED_CHALLENGE if refused else _CHALLENGE
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
    request.scope["state"][FAILURE] = answer.code, str(error) or _in_words(type(error).__name__)
    return _respond(answer, headers, str(error), details)


def on_framework_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """Answer an error of Litestar's own in our shape."""
    answer = FRAMEWORK.get(error.status_code)
    if answer is None or answer.status == 500:
        return on_defect(request, error)
    headers = {}
    if isinstance(error, MethodNotAllowedException):
        headers["Allow"] = allow((error.headers or {})["allow"])
    request.scope["state"][FAILURE] = answer.code, answer.message
    return _respond(answer, headers)


def on_client_gone(request: Request[Any, Any, Any], error: ClientGone) -> Response[None]:
    """Answer a client that has gone, for the log: nobody reads it."""
    request.scope["state"][FAILURE] = "client_gone", "The client closed the connection."
    return Response(None, status_code=_CLIENT_GONE)


def on_defect(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Answer anything unforeseen: logged with its traceback, told to nobody."""
    log.error("unhandled error", exc_info=error, request_id=request.scope["state"]["request_id"])
    answer = FRAMEWORK[500]
    request.scope["state"][FAILURE] = answer.code, _in_words(type(error).__name__)
    return _respond(answer)


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


def _respond(
    answer: Answer,
    headers: Mapping[str, str] | None = None,
    own_message: str = "",
    details: Sequence[FieldError] = (),
) -> Response[Any]:
    body = ErrorBody(ErrorDetail(answer.code, answer.message or own_message, details))
    return Response(body, status_code=answer.status, headers=headers, media_type="application/json")
