"""Signs receipts: what has ended, under which number of the feed, and who has confirmed it."""

import msgspec

from service.access_tokens.reader import encode
from service.clock import Clock
from service.confirmations.waiting import Confirmation
from service.keyring.signing import SigningKeys

_TYPE = "revocation-receipt+jwt"


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True):
    """The claims of a receipt. Without `sid`, all sessions of `sub` have ended, or all others.

    `acks`: how many replicas had the end at the least; `confirmed`: how many of the `guards`.
    """

    iss: str
    sub: str
    bucket: int
    n: int
    iat: int
    acks: int
    guards: int
    confirmed: int
    sid: str = ""


class Receipts:
    """Signs receipts with the keys that access tokens are signed with."""

    def __init__(self, keys: SigningKeys, issuer: str, acks: int, clock: Clock) -> None:
        self._keys = keys
        self._issuer = issuer
        self._acks = acks
        self._clock = clock

    def use(self, keys: SigningKeys) -> None:
        """Sign with these keys from now on."""
        self._keys = keys

    def sign(self, user_id: bytes, session_id: bytes, told: Confirmation) -> str:
        """Sign a receipt. `session_id`: empty where it is about all sessions of the user.

        Raises:
            KeyServiceUnavailable: the signing keys are not open yet.
        """
        key = self._keys.active
        receipt = Receipt(
            iss=self._issuer,
            sub=user_id.hex(),
            sid=session_id.hex(),
            bucket=told.bucket,
            n=told.number,
            iat=int(self._clock().timestamp()),
            acks=self._acks,
            guards=told.guards,
            confirmed=told.confirmed,
        )
        header = {"alg": "ES256", "kid": key.kid, "typ": _TYPE}
        signed = encode(msgspec.json.encode(header)) + b"." + encode(msgspec.json.encode(receipt))
        return (signed + b"." + encode(key.sign(signed))).decode()
