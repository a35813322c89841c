"""The root of all errors, and those that stop a start or a change of keys."""

from typing import Self


class ServiceError(Exception):
    """Root of the tree.

    `user_id`: whom it is about, `account`: the digest under which attempts at an account are
    counted; each empty where it is not known. Both are for logs and events, never for an answer.
    """

    user_id: bytes = b""
    account: bytes = b""

    def about(self, user_id: bytes = b"", account: bytes = b"") -> Self:
        """Say whom it is about, as far as that is not said yet. Return the error."""
        self.user_id = self.user_id or user_id
        self.account = self.account or account
        return self


class StartupError(ServiceError):
    """The service cannot start. The message is one line that says what to change."""


class SettingsError(StartupError):
    """A `SERVICE_*` variable is wrong. The message names it and never shows a secret."""


class KeyRefused(ServiceError):
    """A change of keys is refused. The message says why, for the operator who asked for it."""
