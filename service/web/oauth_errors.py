"""The errors of the OAuth endpoints: in the shape of RFC 6749, section 5.2, here alone."""

import msgspec

from service.web.answers import Answer

_FORMS = "The body must be a form (application/x-www-form-urlencoded)."

PATHS = frozenset({"/oauth/revoke", "/oauth/introspect", "/oauth/introspect/batch"})
"""Where they are."""

_TAKE_FORMS = frozenset({"/oauth/revoke", "/oauth/introspect"})


class OAuthErrorBody(msgspec.Struct, frozen=True):
    """An error of RFC 6749, section 5.2: `error` is for programs."""

    error: str
    error_description: str


def spelt(answer: Answer, message: str, path: str = "") -> tuple[int, OAuthErrorBody]:
    """Spell an answer in that shape. Return its status, too: of another media type it is 400.

    What RFC 6749 and 6750 have no name for keeps ours.
    """
    status = 400 if answer.status == 415 else answer.status
    if answer.status == 415 and path in _TAKE_FORMS:
        message = _FORMS
    code = answer.code
    if status == 401:
        code = "invalid_token"
    elif status in (400, 405, 413):
        code = "invalid_request"
    return status, OAuthErrorBody(code, message)
