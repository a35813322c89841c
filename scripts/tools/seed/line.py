"""A line of the file of tokens: what scripts/seed writes and scripts/load reads."""

import msgspec


class Line(msgspec.Struct, frozen=True, rename="camel"):
    """A session and its account. All of it is secret."""

    user: str
    email: str
    password: str
    session: str
    refresh_token: str
    access_token: str
    access_expires_at: int
    """Seconds since 1970."""

    def __repr__(self) -> str:
        return f"Line(session={self.session})"
