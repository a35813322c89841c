"""Who of the operators asks for a change, and why: both go into its event."""

import unicodedata

import msgspec

from service.errors import InvalidField
from service.sessions.origin import RequestOrigin

LONGEST_REASON = 500
"""Characters of a reason."""

CLI = "cli"
"""Who asks on the command line: whoever may run it may do anything."""


ADMIN = "admin:"
"""What stands before the id of the API key by which somebody asks over HTTP."""


class OperatorRequest(msgspec.Struct, frozen=True):
    """A change that an operator asks for: `by` whom, for what `reason`, from where."""

    by: str
    reason: str
    origin: RequestOrigin


def reason(text: str) -> str:
    """Return a reason as it is kept, without blanks around it.

    Raises:
        InvalidField: it says nothing, is too long, or has characters that no line of text has.
    """
    stripped = text.strip()
    if not stripped:
        raise InvalidField("reason", "The reason must say something.")
    if len(stripped) > LONGEST_REASON:
        raise InvalidField("reason", f"The reason must have at most {LONGEST_REASON} characters.")
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in stripped):
        raise InvalidField("reason", "The reason must be one line of text.")
    return stripped
