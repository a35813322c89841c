"""The token pair that a client gets for a session, and what it is made from."""

import msgspec

from service.sessions.refresh_tokens import RefreshToken


class TokenPair(msgspec.Struct, frozen=True):
    """The tokens of a client. Both texts are secrets; `expires_in`: seconds of the access token.

    `lasts`: seconds of the session from its opening or last rotation on, if none follows.
    """

    access_token: str
    refresh_token: str
    expires_in: int
    session_id: bytes
    lasts: int

    def __repr__(self) -> str:
        return f"TokenPair(session_id={self.session_id.hex()})"


class Opened(msgspec.Struct, frozen=True):
    """A session for whose present refresh token no access token has been signed yet.

    `record` and `expires_at` are as Redis has them: see `record.read`.
    """

    token: RefreshToken
    record: bytes
    expires_at: int
