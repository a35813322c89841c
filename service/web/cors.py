"""Lets pages of other origins call: cross-origin resource sharing, as the Fetch standard has it.

Only origins of `SERVICE_ORIGINS`, each compared byte by byte. Whatever is not one of them gets no
header of this, and the browser keeps the answer from the page.
"""

from collections.abc import Iterable, Mapping, Sequence

from service.web.headers import Header, joined

CORS = "cors"
"""The name in the state of a server, and of a request's scope, of `Cors` where it is on."""

PREFLIGHT_LIFE = 600  # seconds that a browser may keep the answer to a preflight

_METHODS = b"DELETE, GET, POST"
_REQUEST_HEADERS = b"Authorization, Content-Type, Prefer, X-Request-Id, X-Session-Mode"
_EXPOSED = b"X-Request-Id, Retry-After, WWW-Authenticate, Preference-Applied, Guards-Confirmed"

_VARY: Header = b"vary", b"Origin"


class Cors:
    """The headers that answers get, by the origin of the page that has asked."""

    def __init__(self, origins: Iterable[str], credentials: bool) -> None:
        """Allow these `origins`; `credentials`: pages of theirs may send and get cookies."""
        self._answers: dict[bytes, tuple[Header, ...]] = {}
        self._preflights: dict[bytes, tuple[Header, ...]] = {}
        for origin in (origin.encode() for origin in origins):
            allowed = [_VARY, (b"access-control-allow-origin", origin)]
            if credentials:
                allowed.append((b"access-control-allow-credentials", b"true"))
            self._answers[origin] = *allowed, (b"access-control-expose-headers", _EXPOSED)
            self._preflights[origin] = (
                *allowed,
                (b"access-control-allow-methods", _METHODS),
                (b"access-control-allow-headers", _REQUEST_HEADERS),
                (b"access-control-max-age", b"%d" % PREFLIGHT_LIFE),
            )

    def answer(self, headers: Mapping[bytes, bytes]) -> Sequence[Header]:
        """Return what every answer to a request with these headers gets, errors included."""
        return self._answers.get(headers.get(b"origin", b""), (_VARY,))

    def preflight(self, headers: Mapping[bytes, bytes]) -> Sequence[Header] | None:
        """Return what answers an OPTIONS request; `None` if no page that may call has sent it."""
        if b"access-control-request-method" not in headers:
            return None
        return self._preflights.get(headers.get(b"origin", b""))

    def refusal(self, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Spell the lines for an answer to a message that is no request, with `fields` so far."""
        return b"".join(b"%s: %s\r\n" % header for header in self.answer(joined(fields)))
