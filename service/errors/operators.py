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


class RelyingPartyRefused(ServiceError):
    """What an operator asks for about relying parties cannot be done. The message says why."""


class RelyingPartyNotFound(RelyingPartyRefused):
    """No relying party was ever registered under this client id."""

    def __init__(self) -> None:
        super().__init__("there is no such relying party")


class RelyingPartyExists(RelyingPartyRefused):
    """One is registered under this client id, with another URI or for other tokens."""

    def __init__(self) -> None:
        super().__init__("this client is registered, with other values: remove it first")


class TooManyRelyingParties(RelyingPartyRefused):
    """As many are registered as there may be."""

    def __init__(self, most: int) -> None:
        super().__init__(f"there are {most} relying parties, and no more may be: remove one first")


class MailOff(ServiceError):
    """An operator asks for a mail where none is set up."""
