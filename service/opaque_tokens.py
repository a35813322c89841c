"""Opaque tokens that we mint: their spelling, their MAC, and what Redis knows them by.

A token is a prefix and the unpadded base64url of its bytes, whose last 24 are HMAC-SHA-256 over all
before them, truncated. The number of bytes is a multiple of three, so that none is padded.
"""

import binascii
import hashlib
import hmac

MAC = 24
"""Bytes of a MAC."""

DIGEST = 16
"""Bytes of a digest."""

_TO_URL_SAFE, _FROM_URL_SAFE = bytes.maketrans(b"+/", b"-_"), bytes.maketrans(b"-_", b"+/")


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
    return secret if len(secret) == size and spell(prefix, secret) == text else None


def mac(key: bytes, body: bytes) -> bytes:
    """Return the MAC over all that stands before it in a token."""
    return hmac.digest(key, body, "sha256")[:MAC]


def is_minted_by(key: bytes | None, secret: bytes) -> bool:
    """Tell whether the bytes of a token bear the MAC of this key; with none they do not."""
    return key is not None and hmac.compare_digest(mac(key, secret[:-MAC]), secret[-MAC:])


def digest(text: str) -> bytes:
    """Return what a token is kept under. `sessions/refresh_tokens.py` says why half is enough."""
    return hashlib.sha256(text.encode()).digest()[:DIGEST]
