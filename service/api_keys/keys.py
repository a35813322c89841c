"""What an API key is: its name, what it may be used for, and until when."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal, get_args

import msgspec

from service.errors import InvalidField

Scope = Literal["users.read", "users.write", "sessions.end", "events.read", "introspect"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

LONGEST_NAME = 100
"""Characters of a name."""

LONGEST_LIFE = timedelta(days=3650)


class ApiKey(msgspec.Struct, frozen=True):
    """A key as operators see it: all but its text, which was shown once.

    `expires_at`, `revoked_at`, `last_used_at`: `None` where it is not so. `last_used_at` is some
    minutes behind.
    """

    id: bytes
    name: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def is_good_at(self, now: datetime) -> bool:
        """Tell whether the key may be used."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def name_of(text: str) -> str:
    """Return the name of a key as it is kept, without blanks around it.

    Raises:
        InvalidField: it says nothing, is too long, or has characters that cannot be seen.
    """
    name = text.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        message = f"The name must have 1 to {LONGEST_NAME} characters, all of which can be seen."
        raise InvalidField("name", message)
    return name


def scopes_of(names: Iterable[str]) -> tuple[Scope, ...]:
    """Return these scopes, each once, in the order of `SCOPES`.

    Raises:
        InvalidField: there are none, or one that is not known.
    """
    asked = {name.strip() for name in names}
    if not asked or not asked <= set(SCOPES):
        raise InvalidField("scopes", f"The scopes must be some of {', '.join(SCOPES)}.")
    return tuple(scope for scope in SCOPES if scope in asked)


def expiry_of(moment: datetime, now: datetime) -> datetime:
    """Check when a key is to expire.

    Raises:
        InvalidField: that has passed, or is too far away.
    """
    if not now < moment <= now + LONGEST_LIFE:
        raise InvalidField("expiresAt", "The key must expire in the future, within ten years.")
    return moment
