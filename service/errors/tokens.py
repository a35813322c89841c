"""What goes wrong where tokens are exchanged for others."""

from service.errors.root import ServiceError


class InvalidRefreshToken(ServiceError):
    """The refresh token is unknown, malformed, expired or revoked; which one is not told."""


class RefreshTokenReused(ServiceError):
    """A spent refresh token came back after its grace. Its session has been revoked."""


class InvalidTarget(ServiceError):
    """Access tokens are asked for a resource that is none of the audiences (RFC 8707, section 2).

    Also where nobody names one, and that of the session is none any more.
    """
