"""What reading an access token can end with, besides its claims.

GuardError
└── TokenRefused    the token does not count
"""


class GuardError(Exception):
    """Root of what a check can end with. None of these holds the token or anything inside it."""


class TokenRefused(GuardError):
    """None of the issuer's, expired, or of a session that has ended. Which, is not told."""

    def __init__(self) -> None:
        super().__init__("the access token does not count")
