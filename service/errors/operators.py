"""What can go wrong with what operators ask for, and with the keys of other software."""

from service.errors.root import ServiceError


class UserNotFound(ServiceError):
    """There is no such account, or not any more. Told to operators alone."""

    def __init__(self) -> None:
        super().__init__("there is no such account")


class InsufficientScope(ServiceError):
    """The API key is good, and not for this: it lacks `scope`."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"The API key may not do this: it lacks the scope {scope}.")
        self.scope = scope


class ApiKeyNotFound(ServiceError):
    """There is no such API key. Told to operators alone."""

    def __init__(self) -> None:
        super().__init__("there is no such API key")


class MailOff(ServiceError):
    """An operator asks for a mail where none is set up."""
