"""Refresh tokens: opaque to clients, self-routing and unforgeable for us.

A token is `osr_` and the unpadded base64url of 90 bytes:

    offset  length  field
    0       1       format version, 1
    1       1       id of the MAC key
    2       16      user id
    18      12      session id
    30      4       generation: how many rotations came before it, big-endian
    34      32      random
    66      24      HMAC-SHA-256 over all of the above, truncated

The MAC lets junk be refused without asking Redis, and makes reuse unforgeable: only a token that we
minted can count as theft. Redis holds the first 16 bytes of the SHA-256 of the token's text, and
nothing else of it.

Half of the SHA-256 is enough. What it stands for has 256 random bits, so nobody gets back to it. To
find another text with the same half takes 2^128 tries, and that has no MAC yet. Two tokens of ours
that share one are not to be expected among 10^18. The other half would cost 32 bytes a session.
"""

import hmac
import os
from collections.abc import Mapping

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service import opaque_tokens
from service.errors import InvalidRefreshToken, KeyServiceUnavailable

PREFIX = "osr_"
_VERSION = 1
_BYTES = 90
_NONCE = 12
_LAST_GENERATION = 2**32 - 1

USER_ID, SESSION_ID = 16, 12
"""Bytes of the ids of a user and of a session."""

SEALED_SUCCESSOR = _NONCE + _BYTES + 16
"""Bytes of what `seal_successor` makes."""


class RefreshToken(msgspec.Struct, frozen=True):
    """A token that we minted. `digest` is what its session is kept under."""

    user_id: bytes
    session_id: bytes
    generation: int
    digest: bytes
    secret: bytes
    """The 90 bytes themselves. They leave the process as `text` and in sealed form only."""
    text: str
    """What the client holds."""

    def __repr__(self) -> str:
        return f"RefreshToken(session_id={self.session_id.hex()}, generation={self.generation})"


class RefreshTokens:
    """Mints refresh tokens and recognises them."""

    def __init__(self, mac_keys: Mapping[int, bytes], current: int) -> None:
        self.use(mac_keys, current)

    def use(self, mac_keys: Mapping[int, bytes], current: int) -> None:
        """Mint with the `current` key and recognise by all of them from now on. None: not yet."""
        self._mac_keys = {key_id: opaque_tokens.MacKey(key) for key_id, key in mac_keys.items()}
        self._current = current

    def mint(self, user_id: bytes, session_id: bytes, generation: int) -> RefreshToken:
        """Mint a token for this session. `generation` counts from 0.

        Raises:
            KeyServiceUnavailable: the MAC keys are not open yet.
        """
        self._refuse_if_closed()
        if generation > _LAST_GENERATION:
            raise InvalidRefreshToken
        body = b"".join(
            (
                bytes((_VERSION, self._current)),
                user_id,
                session_id,
                generation.to_bytes(4),
                os.urandom(32),
            )
        )
        return _token(body + self._mac_keys[self._current].mac(body))

    def recognise(self, text: str) -> RefreshToken:
        """Read `text` if it is a token of ours, spelt canonically. Asks neither Redis nor SQL.

        Raises:
            InvalidRefreshToken: anything else.
            KeyServiceUnavailable: spelt like one, and the MAC keys are not open yet.
        """
        token = self.read(text)
        self._refuse_if_closed()
        if not opaque_tokens.is_minted_by(self._mac_keys.get(token.secret[1]), token.secret):
            raise InvalidRefreshToken("the token is forged, or its key is gone")
        return token

    def read(self, text: str) -> RefreshToken:
        """Read a text that is spelt like a token of ours, without checking that it is one.

        Raises:
            InvalidRefreshToken: anything else.
        """
        secret = opaque_tokens.read(text, PREFIX, _BYTES)
        if secret is None or secret[0] != _VERSION:
            raise InvalidRefreshToken("that is no refresh token")
        return _token(secret, text)

    def _refuse_if_closed(self) -> None:
        if not self._mac_keys:
            raise KeyServiceUnavailable("the keys of refresh tokens are not open yet")


def seal_successor(spent: RefreshToken, successor: RefreshToken) -> bytes:
    """Seal `successor` so that only a holder of `spent` opens it: nonce, then AES-256-GCM."""
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(_handoff_key(spent)).encrypt(nonce, successor.secret, spent.digest)


def open_successor(spent: RefreshToken, sealed: bytes) -> RefreshToken:
    """Open what `seal_successor` has sealed.

    Raises:
        InvalidRefreshToken: `sealed` was not made for `spent`.
    """
    try:
        secret = AESGCM(_handoff_key(spent)).decrypt(sealed[:_NONCE], sealed[_NONCE:], spent.digest)
    except (InvalidTag, ValueError):
        raise InvalidRefreshToken from None
    return _token(secret)


def _token(secret: bytes, text: str | None = None) -> RefreshToken:
    """Make a token of its bytes. `text`: how they are spelt, where that is known."""
    text = text or opaque_tokens.spell(PREFIX, secret)
    return RefreshToken(
        user_id=secret[2:18],
        session_id=secret[18:30],
        generation=int.from_bytes(secret[30:34]),
        digest=opaque_tokens.digest(text),
        secret=secret,
        text=text,
    )


def _handoff_key(spent: RefreshToken) -> bytes:
    return hmac.digest(spent.secret, b"openshow refresh handoff v1", "sha256")
