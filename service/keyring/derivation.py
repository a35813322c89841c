"""Keys that are derived from others, so that each has one purpose: HKDF-SHA-256 (RFC 5869)."""

import hmac


def derive(key: bytes, purpose: bytes) -> bytes:
    """Derive the 32-byte key of a purpose from a key of the keyring.

    Extract without a salt, then expand by one block with `purpose` as the info (section 2).
    """
    return hmac.digest(hmac.digest(bytes(32), key, "sha256"), purpose + b"\1", "sha256")
