"""Access tokens: RFC 9068 JWTs, signed with ES256, checked here without asking anybody.

That a token verifies does not mean that its session lives; `Sessions` asks Redis for that.

PyJWT signs and checks signatures. The one header and the one set of claims that we write are
spelt and read here: for a token whose form is known in advance that takes half the time.
"""

import base64
import binascii
import math
import os
from datetime import timedelta

import msgspec
from jwt.algorithms import ECAlgorithm

from service.clock import Clock
from service.errors import InvalidAccessToken
from service.keyring.signing import SigningKeys
from service.sessions.record import Session

_SIGNATURE_TEXT = 86
"""Characters of 64 bytes in unpadded base64url (RFC 7518, section 3.4)."""


class Caller(msgspec.Struct, frozen=True):
    """Whom a verified access token names. Whether the session still lives is another question."""

    user_id: bytes
    session_id: bytes


class Claims(msgspec.Struct, frozen=True):
    """The claims of RFC 9068, section 2.2, with the session's id. Times in seconds since 1970."""

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


class AccessTokens:
    """Mints and verifies access tokens."""

    def __init__(
        self, keys: SigningKeys, *, issuer: str, audience: str, life: timedelta, clock: Clock
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._algorithm = ECAlgorithm(ECAlgorithm.SHA256)
        self._private_key = keys.active.private_key
        self._header = _header(keys.active.kid)
        self._public_by_header = {_header(kid): key for kid, key in keys.public_keys().items()}
        self._decoder = msgspec.json.Decoder(Claims)
        self.life = int(life.total_seconds())

    def mint(self, session: Session) -> tuple[str, int]:
        """A signed token for this session, and for how many seconds it is valid.

        That is `life`, but at most to the session's own end, in whole seconds (rounded up): so
        nobody who checks access tokens need be told of that end.
        """
        now = int(self._clock().timestamp())
        expires_at = min(now + self.life, math.ceil(session.expires_at.timestamp()))
        claims = Claims(
            iss=self._issuer,
            aud=self._audience,
            sub=session.user_id.hex(),
            exp=expires_at,
            iat=now,
            jti=_encode(os.urandom(15)).decode(),
            sid=session.id.hex(),
            auth_time=int(session.opened_at.timestamp()),
            amr=session.authentication.methods,
            client_id=self._audience,
        )
        signed = self._header + b"." + _encode(msgspec.json.encode(claims))
        signature = _encode(self._algorithm.sign(signed, self._private_key))
        return (signed + b"." + signature).decode(), expires_at - now

    def verify(self, token: str) -> Caller:
        """Check header, signature, claims, issuer, audience and expiry (no leeway).

        The header must be, to the letter, one that we write: neither `alg` nor `kid` nor anything
        else in it is the sender's to choose. `iat` is not held against this machine's clock:
        another pod's may be a little ahead.

        Raises:
            InvalidAccessToken: anything is wrong with it; what, is not told.
        """
        signed, _, signature = token.encode().rpartition(b".")
        header, _, payload = signed.partition(b".")
        public_key = self._public_by_header.get(header)
        if public_key is None or len(signature) != _SIGNATURE_TEXT:
            raise InvalidAccessToken
        try:
            if not self._algorithm.verify(signed, public_key, _decode(signature)):
                raise InvalidAccessToken
            claims = self._decoder.decode(_decode(payload))
            caller = Caller(bytes.fromhex(claims.sub), bytes.fromhex(claims.sid))
        except (binascii.Error, msgspec.DecodeError, ValueError):
            raise InvalidAccessToken from None
        if (
            claims.iss != self._issuer
            or claims.aud != self._audience
            or claims.exp <= self._clock().timestamp()
        ):
            raise InvalidAccessToken
        return caller


def _header(kid: str) -> bytes:
    """The first part of a token signed with `kid`."""
    return _encode(msgspec.json.encode({"alg": "ES256", "kid": kid, "typ": "at+jwt"}))


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decode(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"==")
