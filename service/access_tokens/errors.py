"""The errors of reading an access token.

GuardError
└── TokenRefused    the token does not count
"""


class GuardError(Exception):
    """Root of the errors of a check. None of them holds the token or anything inside it."""


class TokenRefused(GuardError):
    """The token is foreign, malformed or expired, or its session has ended; which is not told."""

    def __init__(self) -> None:
        super().__init__("the access token does not count")
