"""The root of all errors, and those that stop a start or a change of keys."""


class ServiceError(Exception):
    """Root of the tree."""


class StartupError(ServiceError):
    """The service cannot start. The message is one line that says what to change."""


class SettingsError(StartupError):
    """A `SERVICE_*` variable is wrong. The message names it and never shows a secret."""


class KeyRefused(ServiceError):
    """A change of keys is refused. The message says why, for the operator who asked for it."""
