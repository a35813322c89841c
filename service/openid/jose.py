"""Signed tokens of a provider: which key must have signed, and whether it has (RFC 7515, RFC 7517).

What a token says of its own key is a name in the provider's set and nothing else: `jwk`, `jku` and
`x5u` are not looked at. Only asymmetric algorithms count, so that no client secret is a key.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from service.errors import ProviderFailed
from service.openid.errors import TokenInvalid

LEEWAY = 60.0
"""Seconds that a provider's clock may differ by."""

_KEY_TYPES = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", None),
}

ALGORITHMS = frozenset(_KEY_TYPES)
"""Those that are accepted, with the type of key, and the curve, that each takes."""

_LATEST = 2**53
"""Seconds since 1970 that are a time: as far as JSON's numbers are exact (RFC 8259, section 6)."""

_LONGEST_TOKEN = 65_536
_MOST_KEYS = 256
_RSA_BITS = range(2048, 8193)

Jwk = Mapping[str, Any]


class Unverified(msgspec.Struct, frozen=True):
    """A token of which nothing is known yet but its form: header, claims, and the whole text."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    text: str

    def __repr__(self) -> str:
        return "Unverified()"


class KeyUnknown(TokenInvalid):
    """The set has no key of the token's name: it may be older than the key."""


def read_keys(document: Any) -> Sequence[Jwk]:
    """Read the keys of a JWK set, those that could be used or not.

    Raises:
        ProviderFailed: it is no JWK set, or one of too many keys.
    """
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or len(keys) > _MOST_KEYS:
        raise ProviderFailed("the provider's keys cannot be read")
    return [key for key in keys if isinstance(key, dict)]


def parse(token: Any) -> Unverified:
    """Take a token apart, and believe nothing of it.

    Raises:
        TokenInvalid: it is not three parts, of which two are JSON objects.
    """
    if not isinstance(token, str) or len(token) > _LONGEST_TOKEN or token.count(".") != 2:
        raise TokenInvalid("it is no JWS")
    header, claims, _ = token.split(".")
    return Unverified(_object(header), _object(claims), token)


def verify(token: Unverified, keys: Sequence[Jwk], algorithms: frozenset[str]) -> None:
    """Check the signature of a token by the one key that its header names.

    `algorithms`: those of `ALGORITHMS` that the provider signs with.

    Raises:
        KeyUnknown: there is none of that name and kind.
        TokenInvalid: the algorithm is not one of these, there are several such keys, or it is not
            signed with it.
    """
    header = token.header
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise TokenInvalid("its algorithm is not accepted")
    if "crit" in header or "b64" in header:
        raise TokenInvalid("its header asks for more than is known")
    if kid is not None and not isinstance(kid, str):
        raise TokenInvalid("its key has no name")
    fitting = [key for key in keys if _fits(key, algorithm, kid)]
    if not fitting:
        raise KeyUnknown("its key is not among the provider's")
    if len(fitting) > 1:
        raise TokenInvalid("several keys may have signed it")
    try:
        key = jwt.PyJWK(dict(fitting[0]), algorithm)
        _refuse_weak(key.key)
        jwt.PyJWS().decode_complete(token.text, key, algorithms=[algorithm])
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, OverflowError):
        raise TokenInvalid("its signature is wrong") from None


def check_audience(claims: Mapping[str, Any], client_id: str) -> None:
    """Check that a token is for us, and if it is for others as well, that it was made for us.

    Raises:
        TokenInvalid
    """
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or client_id not in audiences:
        raise TokenInvalid("it is for another client")
    party = claims.get("azp")
    if (len(audiences) > 1 and party is None) or (party is not None and party != client_id):
        raise TokenInvalid("it was made for another client")


def check_times(claims: Mapping[str, Any], now: float) -> None:
    """Check `exp`, `iat`, and `nbf` where there is one, with `LEEWAY`.

    Raises:
        TokenInvalid
    """
    if _time(claims, "exp") + LEEWAY <= now:
        raise TokenInvalid("it has expired")
    if _time(claims, "iat") - LEEWAY > now:
        raise TokenInvalid("it was issued in the future")
    if claims.get("nbf") is not None and _time(claims, "nbf") - LEEWAY > now:
        raise TokenInvalid("it is not valid yet")


def check_subject(subject: Any) -> str:
    """Return a `sub` that can be one: at most 255 ASCII characters (OpenID Connect, section 2).

    Raises:
        TokenInvalid
    """
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise TokenInvalid("it names no subject")
    if not subject.isascii() or not subject.isprintable():
        raise TokenInvalid("its subject is none")
    return subject


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not -_LATEST < value < _LATEST  # nor is NaN; integers past all floats cannot be added to
    ):
        raise TokenInvalid(f"its {name} is no time")
    return value


def _object(part: str) -> Mapping[str, Any]:
    try:
        decoded = base64.b64decode(part + "=" * (-len(part) % 4), b"-_", validate=True)
        value = msgspec.json.decode(decoded)
    except (binascii.Error, ValueError, RecursionError):
        raise TokenInvalid("it is no JWS") from None
    if not isinstance(value, dict):
        raise TokenInvalid("it is no JWS of claims")
    return value


def _fits(key: Jwk, algorithm: str, kid: str | None) -> bool:
    kty, crv = _KEY_TYPES[algorithm]
    return (
        (kid is None or key.get("kid") == kid)
        and key.get("kty") == kty
        and (crv is None or key.get("crv") == crv)
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and _is_to_verify(key.get("key_ops"))
        and "d" not in key  # whoever can read a private key can sign with it
    )


def _is_to_verify(operations: Any) -> bool:
    """Tell whether a key with these `key_ops` may verify (RFC 7517, section 4.3)."""
    return operations is None or (isinstance(operations, list) and "verify" in operations)


def _refuse_weak(key: Any) -> None:
    if isinstance(key, RSAPublicKey) and key.key_size not in _RSA_BITS:
        raise ValueError("an RSA key that is too small, or takes too long")
