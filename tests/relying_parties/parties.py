"""Relying parties for tests: registered ones, and what they make of the tokens that they get."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs

import jwt

from service.clock import moment
from service.relying_parties.parties import RelyingParty
from tests.sinks.receiver import Endpoint, Received

ISSUER = "https://auth.example.com"
CLIENT = "shop"
EVENT = "http://schemas.openid.net/event/backchannel-logout"


def party_at(endpoint: Endpoint, *, session_required: bool = True, since: int = 1) -> RelyingParty:
    """A relying party that listens there, registered before all that happens."""
    return RelyingParty(b"\x01" * 8, CLIENT, endpoint.url, session_required, since, moment(since))


def token_in(received: Received) -> str:
    """The logout token of a request, as section 2.5 of the specification has it."""
    headers, body = received
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    [(name, [token])] = parse_qs(body.decode(), strict_parsing=True).items()
    assert name == "logout_token"
    return token


def claims_of(
    received: Received, jwks: dict[str, Any], issuer: str = ISSUER, client: str = CLIENT
) -> dict[str, Any]:
    """The claims of its token, validated as in section 2.6, by PyJWT and our JWK set."""
    token = token_in(received)
    header = jwt.get_unverified_header(token)
    assert (header["typ"], header["alg"]) == ("logout+jwt", "ES256")
    key = next(each for each in jwt.PyJWKSet.from_dict(jwks).keys if each.key_id == header["kid"])
    claims: dict[str, Any] = jwt.decode(
        token,
        key.key,
        algorithms=["ES256"],
        audience=client,
        issuer=issuer,
        options={"require": ["iss", "aud", "iat", "exp", "jti", "sub"]},
    )
    assert claims["exp"] - claims["iat"] == 120
    assert claims["events"] == {EVENT: {}}
    assert "nonce" not in claims
    assert claims.keys() <= {"iss", "aud", "iat", "exp", "jti", "sub", "sid", "events"}
    return claims


def told(
    received: Iterable[Received], jwks: dict[str, Any], **who: Any
) -> list[tuple[str, str | None]]:
    """Subject and session of each token."""
    all_of_them = [claims_of(each, jwks, **who) for each in received]
    return [(claims["sub"], claims.get("sid")) for claims in all_of_them]
