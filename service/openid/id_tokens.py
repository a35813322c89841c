"""ID tokens (OpenID Connect Core 1.0, sections 2 and 3.1.3.7)."""

import hmac
from collections.abc import Mapping
from typing import Any

from service.openid.errors import TokenInvalid
from service.openid.jose import (
    Unverified,
    check_audience,
    check_subject,
    check_times,
)
from service.openid.metadata import Metadata

_OTHER_KINDS = frozenset({"at+jwt", "logout+jwt", "secevent+jwt"})


def check(
    token: Unverified, metadata: Metadata, client_id: str, nonce: str, now: float
) -> Mapping[str, Any]:
    """Check all claims of an ID token but its signature, and return them.

    Raises:
        TokenInvalid
    """
    claims = token.claims
    if kind_of(token) in _OTHER_KINDS:
        raise TokenInvalid("it is a token of another kind")
    if claims.get("iss") != metadata.issuer_of(claims):
        raise TokenInvalid("it is another issuer's")
    check_audience(claims, client_id)
    check_times(claims, now)
    sent = claims.get("nonce")
    if not isinstance(sent, str) or not hmac.compare_digest(sent.encode(), nonce.encode()):
        raise TokenInvalid("its nonce is another login's")
    check_subject(claims.get("sub"))
    return claims


def kind_of(token: Unverified) -> str:
    """Return the `typ` of a token in its short form (RFC 7515, section 4.1.9)."""
    kind = token.header.get("typ", "")
    return kind.lower().removeprefix("application/") if isinstance(kind, str) else "?"
