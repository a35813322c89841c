"""The tokens of tickets: opaque to people, self-routing and unforgeable for us.

A token is the prefix of its purpose and the unpadded base64url of 75 bytes:

    offset  length  field
    0       1       format version, 1
    1       1       id of the MAC key
    2       1       purpose
    3       16      user id
    19      32      random
    51      24      HMAC-SHA-256 over all of the above, truncated

The MAC lets junk be refused without asking Redis. Its keys are derived from those of refresh
tokens, which are rotated, and can be revoked. Redis holds the first 16 bytes of the SHA-256 of the
token's text (`sessions/refresh_tokens.py` says why that is enough).
"""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Mapping

import msgspec

from service.errors import KeyServiceUnavailable, TicketNotFound
from service.keyring.derivation import derive

_VERSION = 1
_BODY = 51
_BYTES = 75
_KEY_OF_TICKETS = b"openshow tickets, version 1"

DIGEST = 16
"""Bytes of a digest."""


class Purpose(msgspec.Struct, frozen=True):
    """What a ticket is good for. `name` goes into the key, `code` and `prefix` into the token."""

    name: str
    code: int
    prefix: str


PASSWORD_RESET = Purpose("reset", 1, "osm_")

PURPOSES = (PASSWORD_RESET,)
"""All of them. A code is never given to another."""


class Token(msgspec.Struct, frozen=True):
    """A token that we minted. `digest` is what Redis knows it by."""

    purpose: Purpose
    user_id: bytes
    digest: bytes
    secret: bytes
    """The 75 bytes themselves. They leave the process as `text` only."""

    def __repr__(self) -> str:
        return f"Token(purpose={self.purpose.name!r}, user_id={self.user_id.hex()})"

    @property
    def text(self) -> str:
        """What the person holds."""
        return _spell(self.purpose, self.secret)


class TicketTokens:
    """Mints the tokens of tickets and recognises them."""

    def __init__(self, mac_keys: Mapping[int, bytes], current: int) -> None:
        self.use(mac_keys, current)

    def use(self, mac_keys: Mapping[int, bytes], current: int) -> None:
        """Mint and recognise by keys derived from these from now on. None: not yet."""
        self._mac_keys = {key_id: derive(key, _KEY_OF_TICKETS) for key_id, key in mac_keys.items()}
        self._current = current

    def mint(self, purpose: Purpose, user_id: bytes) -> Token:
        """Mint a token for this user.

        Raises:
            KeyServiceUnavailable: the MAC keys are not open yet.
        """
        self._refuse_if_closed()
        body = bytes((_VERSION, self._current, purpose.code)) + user_id + os.urandom(32)
        return _token(purpose, body + _mac(self._mac_keys[self._current], body))

    def recognise(self, text: str, purpose: Purpose) -> Token:
        """Read `text` if it is a token of ours for this purpose, spelt canonically.

        Asks neither Redis nor SQL.

        Raises:
            TicketNotFound: anything else.
            KeyServiceUnavailable: spelt like one, and the MAC keys are not open yet.
        """
        secret = _read(text, purpose)
        self._refuse_if_closed()
        key = self._mac_keys.get(secret[1])
        if key is None or not hmac.compare_digest(_mac(key, secret[:_BODY]), secret[_BODY:]):
            raise TicketNotFound
        return _token(purpose, secret)

    def _refuse_if_closed(self) -> None:
        if not self._mac_keys:
            raise KeyServiceUnavailable("the keys of tickets are not open yet")


def _read(text: str, purpose: Purpose) -> bytes:
    prefix = purpose.prefix
    if len(text) != len(prefix) + _BYTES * 4 // 3 or not text.isascii():
        raise TicketNotFound
    try:
        secret = base64.urlsafe_b64decode(text[len(prefix) :])
    except binascii.Error:
        raise TicketNotFound from None
    if len(secret) != _BYTES or _spell(purpose, secret) != text:  # another prefix, or not canonical
        raise TicketNotFound
    if (secret[0], secret[2]) != (_VERSION, purpose.code):
        raise TicketNotFound
    return secret


def _token(purpose: Purpose, secret: bytes) -> Token:
    digest = hashlib.sha256(_spell(purpose, secret).encode()).digest()[:DIGEST]
    return Token(purpose, secret[3:19], digest, secret)


def _spell(purpose: Purpose, secret: bytes) -> str:
    return purpose.prefix + base64.urlsafe_b64encode(secret).decode()


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")[: _BYTES - _BODY]
