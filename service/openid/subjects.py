"""Who somebody is at a provider, once it has said so."""

from typing import Any

import msgspec

LONGEST_EMAIL = 254


class Subject(msgspec.Struct, frozen=True):
    """Somebody whom a provider knows: by issuer and `sub`, never by an address.

    `email` is '' where it tells none. `claimed`: the provider is trusted with addresses and has
    verified this one. `session` is that of the provider (`sid`), '' where it names none.
    """

    provider: str
    issuer: str
    subject: str
    email: str = ""
    claimed: bool = False
    session: str = ""

    def __repr__(self) -> str:
        return f"Subject(provider={self.provider!r})"


def email_of(claims: Any, *, trusted: bool) -> tuple[str, bool]:
    """Read the address in claims, and whether it counts as theirs: only by the boolean `true`."""
    email = claims.get("email")
    if not isinstance(email, str) or not 0 < len(email) <= LONGEST_EMAIL:
        return "", False
    return email, trusted and claims.get("email_verified") is True
