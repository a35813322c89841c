"""Finds out who a request comes from, or how to refuse it. Knows HTTP and no framework.

The answers are those of the service itself (docs/api.md): the same shape, codes and headers.
"""

import math
import time
from collections.abc import Sequence
from datetime import timedelta

import msgspec

from .errors import GuardUnavailable, NotStarted, TokenRefused
from .identity import Identity
from .verifier import Verifier

_CHALLENGE = 'Bearer realm="openshow"'
"""As the service has it. RFC 6750, section 3: there is one parameter at least."""
_UNAUTHORIZED, _TRY_AGAIN = 4401, 1013
"""Codes that close a WebSocket: 401 in the range for applications, and "try again later"."""


class Answer(msgspec.Struct, frozen=True):
    """A refusal. `headers` come besides Content-Type, Content-Length and Cache-Control."""

    status: int
    code: str
    message: str
    headers: Sequence[tuple[str, str]] = ()

    @property
    def body(self) -> bytes:
        """`{"error": {"code": …, "message": …}}`."""
        return msgspec.json.encode({"error": {"code": self.code, "message": self.message}})

    @property
    def close_code(self) -> int:
        """What closes a WebSocket that cannot be given an HTTP answer any more."""
        return _TRY_AGAIN if self.status == 503 else _UNAUTHORIZED


NO_CREDENTIAL = Answer(
    401,
    "unauthorized",
    "Send an access token: Authorization: Bearer <token>.",
    [("WWW-Authenticate", _CHALLENGE)],
)
INVALID_TOKEN = Answer(
    401,
    "unauthorized",
    "The access token is not valid any more; refresh it or log in.",
    [("WWW-Authenticate", f'{_CHALLENGE}, error="invalid_token"')],
)


class Refused(Exception):
    """The request is refused; `answer` is the response."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.code)
        self.answer = answer


async def identify(verifier: Verifier, token: str) -> Identity:
    """Find out whose token it is. Start the verifier where nobody has.

    Raises:
        Refused: nobody who may pass, or it cannot be known at the moment.
    """
    try:
        try:
            return await verifier.verify(token)
        except NotStarted:
            await verifier.start_late()
            return await verifier.verify(token)
    except TokenRefused:
        raise Refused(INVALID_TOKEN) from None
    except GuardUnavailable as error:
        raise Refused(unavailable(error.retry_after)) from error


def check_authentication(
    identity: Identity, methods: frozenset[str], max_age: timedelta | None
) -> None:
    """Check that the login was of this kind (`amr`), and at most `max_age` ago (`auth_time`).

    Raises:
        Refused: it was not; the client is told to prove anew who it is (RFC 9470, section 3).
    """
    if not methods.issubset(identity.methods):
        raise Refused(_insufficient(f"reauthenticate with {' and '.join(sorted(methods))}"))
    if max_age is not None and time.time() - identity.auth_time > max_age.total_seconds():
        seconds = int(max_age.total_seconds())
        raise Refused(_insufficient("reauthenticate", f', max_age="{seconds}"'))


def unavailable(retry_after: float) -> Answer:
    """Make the answer to what cannot be known now. `retry_after`: in how many seconds it may be."""
    return Answer(
        503,
        "service_unavailable",
        "Whether the session still lives cannot be known at the moment; try again.",
        [("Retry-After", str(max(1, math.ceil(retry_after))))],
    )


def _insufficient(what: str, parameter: str = "") -> Answer:
    code = "insufficient_user_authentication"
    return Answer(
        401,
        code,
        f"This needs another proof of who you are: {what}, then ask again with the new token.",
        [
            (
                "WWW-Authenticate",
                f'{_CHALLENGE}, error="{code}", error_description="{what}"{parameter}',
            )
        ],
    )
