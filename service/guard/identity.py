"""The identity behind a checked access token."""

from contextvars import ContextVar

import msgspec


class Identity(msgspec.Struct, frozen=True):
    """What a checked access token says. Times in seconds since 1970."""

    user_id: str
    """`sub`: 32 hex digits."""
    session_id: str
    """`sid`: 24 hex digits. The public id of the session, no secret."""
    auth_time: int
    """When the person signed in."""
    methods: tuple[str, ...]
    """How (`amr`, RFC 8176): `("pwd",)`; with a second factor also `otp` and `mfa`."""
    expires_at: int
    """`exp`: from then on the token is refused."""


current: ContextVar[Identity | None] = ContextVar("openshow_guard_identity", default=None)
"""Of the request that is being served. Whoever sets it takes it back when that was answered."""


def current_identity() -> Identity | None:
    """Return who sent the request that is being served, for code far from it.

    None: nobody did who was asked for a credential, or no request is being served.
    """
    return current.get()
