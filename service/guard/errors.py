"""The errors that a check can end with.

GuardError
├── TokenRefused        the token does not count: 401 `invalid_token`
└── GuardUnavailable    it cannot be said now whether it does: 503 with Retry-After
    └── NotStarted      nobody has started the verifier
"""

from ..access_tokens.errors import GuardError, TokenRefused

__all__ = ["GuardError", "GuardUnavailable", "NotStarted", "TokenRefused"]


class GuardUnavailable(GuardError):
    """It cannot be found out now whether the session lives, or whose signature it is."""

    def __init__(
        self, retry_after: int, message: str = "access tokens cannot be checked now"
    ) -> None:
        """Say when to retry. `retry_after`: whole seconds, at least 1."""
        super().__init__(message)
        self.retry_after = retry_after


class NotStarted(GuardUnavailable):
    """The verifier does not run: nobody has entered it, or its event loop was closed."""

    def __init__(self) -> None:
        super().__init__(
            retry_after=1,
            message="the Verifier does not run: enter it first (`async with verifier:`)",
        )
