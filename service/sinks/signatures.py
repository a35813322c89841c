"""Signs webhooks by Standard Webhooks, symmetric (`v1`) and asymmetric (`v1a`), and batches.

Both keys of a receiver are derived from a key of the service, which is sealed in the user store: so
no secret of a webhook is stored anywhere. They depend on the receiver's URL.
"""

import base64
import hmac

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from service.keyring.derivation import derive


class WebhookKeys:
    """The keys of one receiver; `repr` shows none of them."""

    def __init__(self, key: bytes, url: str) -> None:
        """Derive them from `key`."""
        self._secret = derive(key, b"webhook v1 " + url.encode())
        self._private = Ed25519PrivateKey.from_private_bytes(
            derive(key, b"webhook v1a " + url.encode())
        )

    def __repr__(self) -> str:
        return "WebhookKeys('***')"

    @property
    def secret(self) -> str:
        """The secret that the receiver verifies `v1` by: for that receiver alone."""
        return "whsec_" + base64.b64encode(self._secret).decode()

    @property
    def public_key(self) -> str:
        """The key that anybody verifies `v1a` by."""
        return "whpk_" + base64.b64encode(self._private.public_key().public_bytes_raw()).decode()

    def sign(self, message_id: str, timestamp: int, body: bytes) -> str:
        """Spell the `webhook-signature` of a message."""
        signed = f"{message_id}.{timestamp}.".encode() + body
        symmetric = base64.b64encode(hmac.digest(self._secret, signed, "sha256")).decode()
        asymmetric = base64.b64encode(self._private.sign(signed)).decode()
        return f"v1,{symmetric} v1a,{asymmetric}"


def signed_text(digest: bytes) -> bytes:
    """Return what is signed of a batch: nothing that a token could be taken for."""
    return b"openshow audit batch\0" + digest


def is_signed(digest: bytes, key: EllipticCurvePublicKey, signature: bytes) -> bool:
    """Tell whether this is the signature (ES256: r and s) of a batch."""
    if len(signature) != 64:
        return False
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    try:
        key.verify(encode_dss_signature(r, s), signed_text(digest), ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True
