"""What can go wrong with links in mails, and with the addresses that they verify."""

from service.errors.root import ServiceError


class TicketNotFound(ServiceError):
    """There is no such ticket: unknown, malformed, expired, used, replaced, or for something else.

    Use cases make the error of their own of it.
    """


class InvalidVerificationToken(ServiceError):
    """The token of a link for an address is unknown, expired, used, replaced, or none at all."""


class AlreadyVerified(ServiceError):
    """The address is verified, so there is nothing to mail."""


class EmailNotVerified(ServiceError):
    """The person is right, and nobody logs in before the address is verified."""


class InvalidResetToken(ServiceError):
    """The token for a new password is none, or not any more; which one is not told."""
