"""The identity behind a checked access token."""

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
