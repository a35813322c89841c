"""Reads access tokens: RFC 9068 JWTs, signed with ES256, without asking anybody.

That a token is good does not mean that its session lives; that is another question.

PyJWT checks the signature. The one kind of header and the one set of claims that are accepted are
read here: for a token whose form is known in advance that takes half the time.
"""

import binascii
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from jwt.algorithms import ECAlgorithm

from .errors import TokenRefused

Keys = Mapping[str, EllipticCurvePublicKey]
"""P-256 public keys by `kid`."""

OnMismatch = Callable[[str, str, str], None]

SIGNATURE_TEXT = 86
"""Characters of 64 bytes in unpadded base64url (RFC 7518, section 3.4)."""
_LONGEST_HEADER = 512
_HEADERS_KEPT = 64
_USER_ID, _SESSION_ID = 16, 12
_TO_URL_SAFE, _FROM_URL_SAFE = bytes.maketrans(b"+/", b"-_"), bytes.maketrans(b"-_", b"+/")


class UnknownKey(TokenRefused):
    """The token names a key that is not among ours. It may be a new one of the issuer's."""


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The only JOSE header that is accepted: a sender may choose the key's name, nothing else."""

    alg: Literal["ES256"]
    kid: str
    typ: Literal["at+jwt"]


class Claims(msgspec.Struct, frozen=True):
    """The claims of RFC 9068, section 2.2, with the session's id. Times in seconds since 1970.

    `sat` is when the session was opened, in ms by Redis' clock. A service of before does not write
    it; whatever stands there that is no such number is malformed.
    """

    iss: str
    aud: str
    sub: str
    exp: int
    iat: int
    jti: str
    sid: str
    auth_time: int
    amr: tuple[str, ...]
    client_id: str
    sat: Annotated[int, msgspec.Meta(ge=0)] | msgspec.UnsetType = msgspec.UNSET

    @property
    def opened_at(self) -> int:
        """When the session was opened, ms, which cut-offs are compared with.

        Without `sat` it is the second of the login: too early rather than too late.
        """
        return self.auth_time * 1000 if self.sat is msgspec.UNSET else self.sat


class AccessTokenReader:
    """Reads the access tokens of one issuer, for some audiences, signed with one of its keys."""

    def __init__(
        self,
        keys: Keys,
        *,
        issuer: str,
        audiences: Collection[str],
        on_mismatch: OnMismatch | None = None,
    ) -> None:
        """Begin with these keys. A token is for one of the `audiences`.

        `on_mismatch` hears of tokens that are rightly signed and of another issuer or audience: the
        name of the claim, what it says, and what it should say.
        """
        self._issuer = issuer
        self._audiences = audiences
        self._on_mismatch = on_mismatch
        self._algorithm = ECAlgorithm(ECAlgorithm.SHA256)
        self._header_decoder = msgspec.json.Decoder(Header)
        self._claims_decoder = msgspec.json.Decoder(Claims)
        self.use(keys)

    def use(self, keys: Keys) -> None:
        """Accept signatures of these keys from now on, and of no others."""
        self._keys = keys
        self._by_header: dict[bytes, EllipticCurvePublicKey] = {}

    def read(self, token: str, now: float) -> Claims:
        """Check header, signature, shape, issuer, audience and expiry (no leeway).

        `iat` is not held against this machine's clock: the issuer's may be a little ahead. `now`:
        seconds since 1970.

        Raises:
            UnknownKey: it names a key that is not known.
            TokenRefused: anything else is wrong with it; what, is not told.
        """
        try:
            signed, _, signature = token.encode().rpartition(b".")
            header, _, payload = signed.partition(b".")
            if len(signature) != SIGNATURE_TEXT:
                raise TokenRefused
            key = self._by_header.get(header) or self._key(header)
            if not self.is_signed(signed, key, decode(signature)):
                raise TokenRefused
            claims = self._claims_decoder.decode(decode(payload))
        except (msgspec.DecodeError, ValueError, RecursionError):  # not base64, not UTF-8
            raise TokenRefused from None
        if len(self._by_header) < _HEADERS_KEPT:  # only what was signed: nobody else can fill it
            self._by_header[header] = key
        if claims.iss != self._issuer or claims.aud not in self._audiences:
            self._tell_mismatch(claims)
            raise TokenRefused
        if claims.exp <= now or not (
            _is_hex(claims.sub, _USER_ID) and _is_hex(claims.sid, _SESSION_ID)
        ):
            raise TokenRefused
        return claims

    def _tell_mismatch(self, claims: Claims) -> None:
        if self._on_mismatch is None:
            return
        if claims.iss != self._issuer:
            self._on_mismatch("issuer", claims.iss, self._issuer)
        if claims.aud not in self._audiences:
            self._on_mismatch("audience", claims.aud, " or ".join(self._audiences))

    def is_signed(self, signed: bytes, key: EllipticCurvePublicKey, signature: bytes) -> bool:
        """Verify a signature (r and s) of this key over the `signed` part of a token."""
        return self._algorithm.verify(signed, key, signature)

    def _key(self, header: bytes) -> EllipticCurvePublicKey:
        """Find the key that a header names."""
        if len(header) > _LONGEST_HEADER:
            raise TokenRefused
        kid = self._header_decoder.decode(decode(header)).kid
        key = self._keys.get(kid)
        if key is None:
            raise UnknownKey
        return key


def encode(data: bytes) -> bytes:
    """Encode as unpadded base64url (RFC 7515, section 2)."""
    return binascii.b2a_base64(data, newline=False).translate(_TO_URL_SAFE).rstrip(b"=")


def decode(text: bytes) -> bytes:
    """Decode what `encode` has made. Raises binascii.Error."""
    return binascii.a2b_base64(text.translate(_FROM_URL_SAFE) + b"==")


def _is_hex(text: str, size: int) -> bool:
    """Tell whether this is an id of `size` bytes as we spell it: in lower-case hex."""
    try:
        data = bytes.fromhex(text)
    except ValueError:
        return False
    return len(data) == size and data.hex() == text
