"""Access tokens: RFC 9068 JWTs, signed with ES256.

They are read by the guard's reader, so there is one opinion of what counts. That a token verifies
does not mean that its session lives; `Sessions` asks Redis for that.
"""

import math
import os
from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from hmac import compare_digest

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from service.access_tokens.cache import Cache
from service.access_tokens.errors import TokenRefused
from service.access_tokens.reader import AccessTokenReader, Claims, Header, decode, encode
from service.clock import Clock, milliseconds
from service.errors import ClockWrong, InvalidAccessToken
from service.keyring.signing import SigningKey, SigningKeys
from service.sessions.audiences import Audiences
from service.sessions.record import Session

_EXPIRED = "the access token has expired"

_CLAIMS = msgspec.json.Decoder(Claims)

_TOKENS_KEPT = 16_384
"""Some 6 MB. More people than that at once cost a verification each time they come round."""


class Caller(msgspec.Struct, frozen=True):
    """Whom a verified access token names. Whether the session still lives is another question."""

    user_id: bytes
    session_id: bytes


class _Known(msgspec.Struct, frozen=True, gc=False):
    """What a verified token said, which stays true. `expires_at`: seconds since 1970."""

    caller: Caller
    expires_at: int


class _OwnReader(AccessTokenReader):
    """Reads access tokens, most of which were signed with the key that signs now.

    Signing takes a third of the time that verifying takes, and always makes the same signature: so
    the one that we would make is right. Any other may be, and is verified.
    """

    _own: SigningKey | None = None
    _own_header = b""

    def expect(self, own: SigningKey | None, header: bytes) -> None:
        """Expect most tokens to begin with `header` from now on, and to be signed with `own`."""
        self._own, self._own_header = own, header

    def is_signed(self, signed: bytes, key: EllipticCurvePublicKey, signature: bytes) -> bool:
        own = self._own if signed.startswith(self._own_header) else None
        if own is not None and compare_digest(own.sign(signed), signature):
            return True
        return super().is_signed(signed, key, signature)


class AccessTokens:
    """Mints and verifies access tokens.

    Most tokens come again and again until they expire, and a signature that was right stays right:
    so what a token said is kept by its digest, from when it was minted or first verified here. That
    saves two thirds of the work.
    """

    def __init__(
        self,
        keys: SigningKeys,
        *,
        issuer: str,
        audience: str,
        life: timedelta,
        clock: Clock,
        others: Sequence[str] = (),
    ) -> None:
        """Take the keys. Tokens are for `audience`, or one of the `others` where that is asked."""
        self._issuer = issuer
        self.audiences = Audiences(audience, others)
        self._clock = clock
        self._reader = _OwnReader({}, issuer=issuer, audiences=self.audiences.all)
        self._known = Cache[bytes, _Known](_TOKENS_KEPT)
        self.life = int(life.total_seconds())
        self.use(keys)

    def use(self, keys: SigningKeys) -> None:
        """Sign and verify with these keys from now on."""
        self._keys = keys
        own = keys.active if keys.can_sign else None
        self._header = _header(own.kid) if own else b""
        self._reader.use(keys.public_keys())
        self._reader.expect(own, self._header)
        self._known.clear()  # what a key has signed that is gone must not count any more

    def window(self) -> tuple[int, int]:
        """Return when a token that is minted now begins to be valid, and when it ends at the most.

        Both are in ms since 1970 by this process' clock.
        """
        now = milliseconds(self._clock())
        return now, now + self.life * 1000

    def mint(self, session: Session, resource: str | None = None) -> tuple[str, int]:
        """Mint a signed token for this session. Return it, and for how many seconds it is valid.

        It is for this `resource`, an audience, or else for that of the session.

        That is `life`, but at most to the session's own end, in whole seconds (rounded up): so
        nobody who checks access tokens need be told of that end.

        Raises:
            KeyServiceUnavailable: the signing keys are not open yet.
            ClockWrong: by this process' clock the session is over.
            InvalidTarget: no resource is named, and the session's audience is none any more.
        """
        audience = resource or self.audiences.of(session)
        key = self._keys.active
        now = int(self._clock().timestamp())
        expires_at = min(now + self.life, math.ceil(session.expires_at.timestamp()))
        if expires_at <= now:
            raise ClockWrong
        claims = Claims(
            iss=self._issuer,
            aud=audience,
            sub=session.user_id.hex(),
            exp=expires_at,
            iat=now,
            jti=encode(os.urandom(15)).decode(),
            sid=session.id.hex(),
            auth_time=int(session.authenticated_at.timestamp()),
            amr=session.authentication.methods,
            client_id=audience,
            sat=milliseconds(session.opened_at),
        )
        signed = self._header + encode(msgspec.json.encode(claims))
        token = signed + b"." + encode(key.sign(signed))
        # Its first use is most likely the next thing that happens, and often here.
        self._known.keep(
            sha256(token).digest(), _Known(Caller(session.user_id, session.id), expires_at)
        )
        return token.decode(), expires_at - now

    def claims(self, token: str) -> Claims:
        """Check a token as `verify` does, and return all that it says.

        Raises:
            InvalidAccessToken
        """
        self.verify(token)
        return _CLAIMS.decode(decode(token.split(".", 2)[1].encode()))

    def verify(self, token: str) -> Caller:
        """Check header, signature, claims, issuer, audience and expiry (no leeway).

        Raises:
            InvalidAccessToken: anything is wrong with it; what, is not told.
        """
        now = self._clock().timestamp()
        digest = sha256(token.encode()).digest()
        known = self._known.young.get(digest) or self._known.recall(digest)
        if known is None:
            try:
                claims = self._reader.read(token, now)
            except TokenRefused:
                raise InvalidAccessToken(_why(token, now)) from None
            caller = Caller(bytes.fromhex(claims.sub), bytes.fromhex(claims.sid))
            self._known.keep(digest, _Known(caller, claims.exp))
            return caller
        if known.expires_at <= now:
            self._known.drop(digest)
            raise InvalidAccessToken(_EXPIRED)
        return known.caller


def _header(kid: str) -> bytes:
    """Spell the first part of a token signed with `kid`, and the dot behind it."""
    return encode(msgspec.json.encode(Header(alg="ES256", kid=kid, typ="at+jwt"))) + b"."


def _why(token: str, now: float) -> str:
    """Say for the log why a token is refused, as far as its own words, which nobody vouches for,
    tell: most have expired, and one that says that it has not is forged or another service's."""
    try:
        claims = msgspec.json.decode(decode(token.split(".")[1].encode()), type=_Expiry)
    except (ValueError, IndexError, RecursionError):
        return "that is no access token"
    if claims.exp <= now:
        return _EXPIRED
    return "the access token is forged, or was not issued here"


class _Expiry(msgspec.Struct, frozen=True):
    exp: int
