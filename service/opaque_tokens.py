"""Opaque tokens that we mint: their spelling, their MAC, and what Redis knows them by.

A token is a prefix and the unpadded base64url of its bytes, whose last 24 are HMAC-SHA-256 over all
before them, truncated. The number of bytes is a multiple of three, so that none is padded.
"""

import binascii
import hashlib
from hmac import compare_digest

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

MAC = 24
"""Bytes of a MAC."""

DIGEST = 16
"""Bytes of a digest."""

_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_FROM_URL_SAFE = bytes.maketrans(b"-_+/=", b"+/!!!")
"""What base64url has not becomes what base64 has not: the decoder leaves it out, and bytes lack."""


def spell(prefix: str, secret: bytes) -> str:
    """Spell the bytes of a token, as people and clients hold it."""
    text = binascii.b2a_base64(secret, newline=False)
    return prefix + text.translate(_TO_URL_SAFE).decode()


def read(text: str, prefix: str, size: int) -> bytes | None:
    """Read the bytes of a token of this size. `None`: the text is not spelt as one, canonically."""
    if len(text) != len(prefix) + size * 4 // 3 or not text.startswith(prefix):
        return None
    if not text.isascii():
        return None
    try:
        secret = binascii.a2b_base64(text[len(prefix) :].encode().translate(_FROM_URL_SAFE))
    except binascii.Error:
        return None
    return secret if len(secret) == size else None


class MacKey:
    """A key of the MACs, taken in once for all of them: for so few bytes that is half the work."""

    __slots__ = ("_keyed",)

    def __init__(self, key: bytes) -> None:
        self._keyed = HMAC(key, SHA256())

    def mac(self, body: bytes) -> bytes:
        """Return the MAC over all that stands before it in a token."""
        made = self._keyed.copy()
        made.update(body)
        return made.finalize()[:MAC]


def is_minted_by(key: MacKey | None, secret: bytes) -> bool:
    """Tell whether the bytes of a token bear the MAC of this key; with none they do not."""
    return key is not None and compare_digest(key.mac(secret[:-MAC]), secret[-MAC:])


def digest(text: str) -> bytes:
    """Return what a token is kept under. `sessions/refresh_tokens.py` says why half is enough."""
    return hashlib.sha256(text.encode()).digest()[:DIGEST]
