"""The text of an API key.

It is `osk_` and the unpadded base64url of 45 bytes:

    offset  length  field
    0       1       format version, 1
    1       8       id of the key, which is no secret
    9       32      random
    41      4       SHA-256 over a label and all of the above, truncated

The checksum tells a typing error from a key that is not there: whatever is not spelt as a key costs
no store a look. It is no secret, and proves nothing: the digest in the user store does.
"""

import hashlib
import os

import msgspec

from service import opaque_tokens

PREFIX = "osk_"

KEY_ID = 8
"""Bytes of the id of a key."""

_VERSION = 1
_BYTES = 45
_CHECKSUM = 4
_LABEL = b"openshow API key, version 1"


class KeyText(msgspec.Struct, frozen=True):
    """The text of a key: its id, and the digest that the user store has of it."""

    id: bytes
    digest: bytes
    text: str

    def __repr__(self) -> str:
        return f"KeyText(id={self.id.hex()})"


def mint() -> KeyText:
    """Mint a key, with 256 random bits."""
    body = bytes((_VERSION,)) + os.urandom(KEY_ID + 32)
    return _key_of(opaque_tokens.spell(PREFIX, body + _checksum(body)), body)


def read(text: str) -> KeyText | None:
    """Read a text that is spelt as a key, canonically; `None`: it is none."""
    secret = opaque_tokens.read(text, PREFIX, _BYTES)
    if secret is None or secret[0] != _VERSION:
        return None
    body, checksum = secret[:-_CHECKSUM], secret[-_CHECKSUM:]
    return _key_of(text, body) if _checksum(body) == checksum else None


def _key_of(text: str, body: bytes) -> KeyText:
    return KeyText(body[1 : 1 + KEY_ID], hashlib.sha256(text.encode()).digest(), text)


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(_LABEL + body).digest()[:_CHECKSUM]
