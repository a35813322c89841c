"""The keys that sign access tokens: ES256 (RFC 7518, 3.4), published as a JWK set (RFC 7517)."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from service.errors import KeyServiceUnavailable

_COORDINATE_SIZE = 32
_DETERMINISTIC = ECDSA(SHA256(), deterministic_signing=True)


class SigningKey(msgspec.Struct, frozen=True, eq=False):
    """A private key and the `kid` that tokens name it by."""

    kid: str
    private_key: EllipticCurvePrivateKey  # its repr shows an address in memory, nothing else

    def sign(self, message: bytes) -> bytes:
        """Sign with ES256 (RFC 7518, section 3.4): r and s, 64 bytes.

        The same message always gets the same one (RFC 6979).
        """
        r, s = decode_dss_signature(self.private_key.sign(message, _DETERMINISTIC))
        return r.to_bytes(_COORDINATE_SIZE) + s.to_bytes(_COORDINATE_SIZE)


class SigningKeys:
    """All signing keys: the active one signs, every one verifies and is published."""

    __slots__ = ("_active", "_jwks", "_public")

    def __init__(self, private_keys: Iterable[EllipticCurvePrivateKey], active: int = -1) -> None:
        """Prepare one P-256 key or more, the newest last, once for all.

        `active` is the index of the one to sign with.
        """
        keys = [SigningKey(thumbprint(key.public_key()), key) for key in private_keys]
        self._active: SigningKey | None = keys[active]
        self._publish([key.private_key.public_key() for key in keys])

    @classmethod
    def public_only(cls, public_keys: Iterable[EllipticCurvePublicKey]) -> "SigningKeys":
        """Make keys that verify and are published, but do not sign: no private key is open yet."""
        keys = cls.__new__(cls)
        keys._active = None
        keys._publish(list(public_keys))
        return keys

    def _publish(self, public_keys: Sequence[EllipticCurvePublicKey]) -> None:
        self._public = {thumbprint(key): key for key in reversed(public_keys)}
        self._jwks = msgspec.json.encode(
            {
                "keys": [
                    _jwk(public) | {"kid": kid, "use": "sig", "alg": "ES256"}
                    for kid, public in self._public.items()
                ]
            }
        )

    def __repr__(self) -> str:
        return f"SigningKeys(kids={list(self._public)}, private_keys='***')"

    @property
    def active(self) -> SigningKey:
        """The key that signs.

        Raises:
            KeyServiceUnavailable: the private keys are not open yet.
        """
        if self._active is None:
            raise KeyServiceUnavailable("the signing keys are not open yet")
        return self._active

    @property
    def can_sign(self) -> bool:
        """Whether there is an active key."""
        return self._active is not None

    def public(self, kid: str) -> EllipticCurvePublicKey | None:
        """Return the key that verifies what was signed under `kid`; None: it is not one of ours."""
        return self._public.get(kid)

    def public_keys(self) -> Mapping[str, EllipticCurvePublicKey]:
        """Return every key that verifies, by `kid`."""
        return self._public

    def jwks(self) -> bytes:
        """Spell the JWK set as JSON, newest key first; public parts only."""
        return self._jwks


def thumbprint(key: EllipticCurvePublicKey) -> str:
    """Compute the JWK thumbprint of RFC 7638: the same for the same key, whoever computes it."""
    # Section 3: the required members only, in lexicographic order, without white space.
    canonical = msgspec.json.encode(_jwk(key), order="deterministic")
    return _base64url(hashlib.sha256(canonical).digest())


def mint() -> EllipticCurvePrivateKey:
    """Generate a P-256 private key."""
    return generate_private_key(SECP256R1())


def to_der(key: EllipticCurvePrivateKey) -> bytes:
    """Encode as PKCS #8, unencrypted: seal it before it is stored."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def from_der(der: bytes) -> EllipticCurvePrivateKey:
    """Decode what `to_der` has made. Raises ValueError for what is not a P-256 private key."""
    key = load_der_private_key(der, password=None)
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise ValueError("not a P-256 private key")
    return key


def public_to_der(key: EllipticCurvePublicKey) -> bytes:
    """Encode as SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7)."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def public_from_der(der: bytes) -> EllipticCurvePublicKey:
    """Decode what `public_to_der` has made. Raises ValueError if it is no P-256 public key."""
    key = load_der_public_key(der)
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise ValueError("not a P-256 public key")
    return key


def _jwk(key: EllipticCurvePublicKey) -> dict[str, str]:
    point = key.public_numbers()
    return {
        "crv": "P-256",
        "kty": "EC",
        # RFC 7518, 6.2.1.2: always 32 bytes, leading zeros included.
        "x": _base64url(point.x.to_bytes(_COORDINATE_SIZE, "big")),
        "y": _base64url(point.y.to_bytes(_COORDINATE_SIZE, "big")),
    }


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
