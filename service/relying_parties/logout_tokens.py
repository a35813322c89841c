"""Signs logout tokens (OpenID Connect Back-Channel Logout 1.0, section 2.4)."""

import os
from collections.abc import Callable
from datetime import timedelta

import msgspec

from service.access_tokens.reader import encode
from service.clock import Clock
from service.keyring.signing import SigningKeys
from service.relying_parties.endings import Ending

LIFE = timedelta(minutes=2)

_EVENT = "http://schemas.openid.net/event/backchannel-logout"


class _Nothing(msgspec.Struct, frozen=True):
    """The value of the event: an empty object."""


_EVENTS = {_EVENT: _Nothing()}


class _Claims(msgspec.Struct, frozen=True, omit_defaults=True):
    """Never a `nonce`, so that nobody takes it for an ID token."""

    iss: str
    aud: str
    iat: int
    exp: int
    jti: str
    sub: str
    events: dict[str, _Nothing]
    sid: str = ""


class LogoutTokens:
    """Signs logout tokens with the key that access tokens are signed with now."""

    def __init__(self, keys: Callable[[], SigningKeys], issuer: str, clock: Clock) -> None:
        self._keys = keys
        self._issuer = issuer
        self._clock = clock

    def sign(self, client_id: str, ending: Ending) -> str:
        """Sign a token for a client. Each has a `jti` of its own, also of the same ending.

        Raises:
            KeyServiceUnavailable: the signing keys are not open yet.
        """
        key = self._keys().active
        now = int(self._clock().timestamp())
        claims = _Claims(
            iss=self._issuer,
            aud=client_id,
            iat=now,
            exp=now + int(LIFE.total_seconds()),
            jti=encode(os.urandom(15)).decode(),
            sub=ending.user_id,
            events=_EVENTS,
            sid=ending.session_id,
        )
        header = {"alg": "ES256", "kid": key.kid, "typ": "logout+jwt"}
        signed = encode(msgspec.json.encode(header)) + b"." + encode(msgspec.json.encode(claims))
        return (signed + b"." + encode(key.sign(signed))).decode()
