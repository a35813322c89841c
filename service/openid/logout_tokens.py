"""Logout tokens (OpenID Connect Back-Channel Logout 1.0, sections 2.4 and 2.6)."""

import msgspec

from service.openid.errors import TokenInvalid
from service.openid.id_tokens import kind_of
from service.openid.jose import Unverified, check_audience, check_subject, check_times
from service.openid.metadata import Metadata

EVENT = "http://schemas.openid.net/event/backchannel-logout"
_KINDS = frozenset({"logout+jwt", "jwt", ""})
"""The first is recommended (section 2.4), and many providers send none. No other token of theirs
has the claim `events`, which is what tells it."""
_LONGEST_ID = 255
OLDEST = 600.0
"""Seconds since a logout token was issued after which it is refused, whatever its `exp` says."""


class Logout(msgspec.Struct, frozen=True):
    """Whose sessions end: all of a `subject`, or those of a `session` of the provider's.

    `token_id` is that of the token, which counts once, until `expires_at` (seconds since 1970).
    """

    issuer: str
    subject: str
    session: str
    token_id: str
    expires_at: float


def check(token: Unverified, metadata: Metadata, client_id: str, now: float) -> Logout:
    """Check all of a logout token but its signature.

    Raises:
        TokenInvalid
    """
    claims = token.claims
    if kind_of(token) not in _KINDS:
        raise TokenInvalid("it is a token of another kind")
    issuer = metadata.issuer_of(claims)
    if claims.get("iss") != issuer:
        raise TokenInvalid("it is another issuer's")
    check_audience(claims, client_id)
    check_times(claims, now)
    if claims["iat"] + OLDEST <= now:
        raise TokenInvalid("it is too old")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise TokenInvalid("it is about something else")
    if "nonce" in claims:
        raise TokenInvalid("it has a nonce, as ID tokens do")
    subject, session = claims.get("sub"), claims.get("sid")
    if subject is None and session is None:
        raise TokenInvalid("it names neither subject nor session")
    return Logout(
        issuer=issuer,
        subject="" if subject is None else check_subject(subject),
        session="" if session is None else text_of(session),
        token_id=text_of(claims.get("jti")),
        expires_at=min(claims["exp"], claims["iat"] + OLDEST),
    )


def text_of(value: object) -> str:
    """Return what names a session or a token.

    Raises:
        TokenInvalid
    """
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_ID:
        raise TokenInvalid("what it names is no text")
    return value
