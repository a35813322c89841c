"""The tokens of tickets: opaque to people, self-routing and unforgeable for us.

A token is the prefix of its purpose and the unpadded base64url of 75 bytes:

    offset  length  field
    0       1       format version, 1
    1       1       id of the MAC key
    2       1       purpose
    3       16      user id; of a login at a provider, which has no user yet, random
    19      32      random
    51      24      HMAC-SHA-256 over all of the above, truncated

The MAC lets junk be refused without asking Redis. Its keys are derived from those of refresh
tokens, which are rotated, and can be revoked. Redis holds the first 16 bytes of the SHA-256 of the
token's text (`sessions/refresh_tokens.py` says why that is enough).
"""

import os
from collections.abc import Mapping

import msgspec

from service import opaque_tokens
from service.errors import KeyServiceUnavailable, TicketNotFound
from service.keyring.derivation import derive

_VERSION = 1
_BYTES = 75
_KEY_OF_TICKETS = b"openshow tickets, version 1"


class Purpose(msgspec.Struct, frozen=True):
    """What a ticket is good for. `name` goes into the key, `code` and `prefix` into the token."""

    name: str
    code: int
    prefix: str
    several: bool = False
    """Whether a user may have several: else the newest replaces the one before."""


PASSWORD_RESET = Purpose("reset", 1, "osm_")
EMAIL_VERIFICATION = Purpose("verify", 2, "osm_")
EMAIL_CHANGE = Purpose("change", 3, "osm_")
EMAIL_UNDO = Purpose("undo", 4, "osm_", several=True)
"""Each stands for a change of its own."""

PURPOSES = (PASSWORD_RESET, EMAIL_VERIFICATION, EMAIL_CHANGE, EMAIL_UNDO)
"""Those of users. A code is never given to another."""

PROVIDER_STATE = Purpose("state", 20, "oss_")
PROVIDER_GRANT = Purpose("grant", 21, "oso_")
"""Those of logins at providers, of nobody yet."""


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
        return opaque_tokens.spell(self.purpose.prefix, self.secret)


class TicketTokens:
    """Mints the tokens of tickets and recognises them."""

    def __init__(self, mac_keys: Mapping[int, bytes], current: int) -> None:
        self.use(mac_keys, current)

    def use(self, mac_keys: Mapping[int, bytes], current: int) -> None:
        """Mint and recognise by keys derived from these from now on. None: not yet."""
        self._mac_keys = {
            key_id: opaque_tokens.MacKey(derive(key, _KEY_OF_TICKETS))
            for key_id, key in mac_keys.items()
        }
        self._current = current

    def mint(self, purpose: Purpose, user_id: bytes) -> Token:
        """Mint a token for this user.

        Raises:
            KeyServiceUnavailable: the MAC keys are not open yet.
        """
        self._refuse_if_closed()
        body = bytes((_VERSION, self._current, purpose.code)) + user_id + os.urandom(32)
        return _token(purpose, body + self._mac_keys[self._current].mac(body))

    def recognise(self, text: str, purpose: Purpose) -> Token:
        """Read `text` if it is a token of ours for this purpose, spelt canonically.

        Asks neither Redis nor SQL.

        Raises:
            TicketNotFound: anything else.
            KeyServiceUnavailable: spelt like one, and the MAC keys are not open yet.
        """
        secret = opaque_tokens.read(text, purpose.prefix, _BYTES)
        if secret is None or (secret[0], secret[2]) != (_VERSION, purpose.code):
            raise TicketNotFound
        self._refuse_if_closed()
        if not opaque_tokens.is_minted_by(self._mac_keys.get(secret[1]), secret):
            raise TicketNotFound
        return _token(purpose, secret)

    def _refuse_if_closed(self) -> None:
        if not self._mac_keys:
            raise KeyServiceUnavailable("the keys of tickets are not open yet")


def _token(purpose: Purpose, secret: bytes) -> Token:
    digest = opaque_tokens.digest(opaque_tokens.spell(purpose.prefix, secret))
    return Token(purpose, secret[3:19], digest, secret)
