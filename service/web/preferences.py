"""Reads preferences of a request (RFC 7240), and answers those about how far an end has come."""

import re
from collections.abc import Iterator
from contextlib import suppress

from service.errors import KeyServiceUnavailable
from service.web.requests import JsonRequest, headers_of
from service.web.responses import add_headers
from service.web.services import services_of

TELLS_HOW_FAR = {"tells_how_far": True}
"""The `opt` of routes that do, for the API's description."""

_WAITS = range(1, 6)
"""Seconds that may be asked for."""

_PREFERENCE = re.compile(
    r"""[\s,]*(?P<name>[\w!#$%&'*+.^`|~-]+)
        (?:\s*=\s*(?P<value>[\w!#$%&'*+.^`|~-]+|"(?:[^"\\]|\\.)*"))?
        \s*(?P<parameters>;(?:[^",]|"(?:[^"\\]|\\.)*")*)?(?:,|$)""",
    re.VERBOSE | re.ASCII,
)


def preferences(header: bytes) -> dict[str, str]:
    """Read preferences by lower-case name: of one that comes twice the first counts."""
    found: dict[str, str] = {}
    for name, value in _each(header.decode("latin-1")):
        found.setdefault(name.lower(), value.strip('"'))
    return found


def _each(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while match := _PREFERENCE.match(text, at):
        yield match["name"], match["value"] or ""
        at = match.end()


async def tell_how_far(request: JsonRequest, subject: bytes) -> None:
    """Tell the client, if it asks, how many guards refuse what has just ended.

    `subject`: the id of the session, or of the caller whose sessions have ended. Never an error:
    what has ended has ended.
    """
    header = headers_of(request.scope).get(b"prefer")
    if header is None:
        return
    wanted = preferences(header)
    text = wanted.get("wait", "")
    seconds = int(text) if text.isascii() and text.isdigit() and len(text) == 1 else 0
    waits, receipt = seconds in _WAITS, wanted.get("receipt") == ""
    if not waits and not receipt:
        return
    services, user_id = services_of(request.app), request.user.user_id
    told = await services.confirmations.wait(user_id, subject, seconds if waits else 0)
    if told is None:
        return
    if waits:
        add_headers(
            request,
            {
                "Preference-Applied": "wait",
                "Guards-Confirmed": f"{told.confirmed}/{told.guards}",
            },
        )
    if receipt:
        with suppress(KeyServiceUnavailable):
            sid = b"" if subject == user_id else subject
            signed = services.receipts.sign(user_id, sid, told)
            add_headers(request, {"Revocation-Receipt": signed})
