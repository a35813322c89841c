"""What can go wrong when people log in at an OpenID provider.

ServiceError
├── ProviderNotFound            there is no OpenID provider of this name
├── RedirectNotAllowed          an address to return to that is not among those that are set
├── InvalidState                unknown, used, expired, another provider's: one answer
├── InvalidGrant                unknown, used, expired, of another verifier: one answer
├── EmailRequired               the provider tells no address
├── SignupDisabled              a login at a provider makes no account
├── LinkRequired                the address is taken, and not for sure by the same person
├── AlreadyLinked               the identity has an account, or the account one of this provider
├── NotLinked                   the account has no identity of this provider
├── LastLoginMethod             without it nobody could log in
├── InvalidLogoutToken          a provider's, or whoever's who poses as it
└── ProviderUnavailable         an OpenID provider cannot be reached or does not answer in time
    └── ProviderFailed          it answers, and not as it must
"""

from service.errors.root import ServiceError


class ProviderNotFound(ServiceError):
    """There is no provider of this name."""


class RedirectNotAllowed(ServiceError):
    """The address to return to is not one of those that are set."""


class InvalidState(ServiceError):
    """The `state` of a callback is none, was used, has expired, or is another provider's."""


class InvalidGrant(ServiceError):
    """The grant is none, was used, has expired, or its verifier is another; which is not told."""


class EmailRequired(ServiceError):
    """The provider tells no address, and an account needs one."""


class SignupDisabled(ServiceError):
    """Whoever has no account yet gets none by logging in at a provider."""


class LinkRequired(ServiceError):
    """The address has an account, and nothing proves that both are one person's."""


class AlreadyLinked(ServiceError):
    """The identity is linked to an account, or the account to an identity of this provider."""


class NotLinked(ServiceError):
    """The account has no identity of this provider."""


class LastLoginMethod(ServiceError):
    """Without this identity nobody could log in to the account."""


class InvalidLogoutToken(ServiceError):
    """A logout token is refused. The message says why, for the log, and quotes nothing of it."""


class ProviderUnavailable(ServiceError):
    """A provider cannot be reached or does not answer in time."""


class ProviderFailed(ProviderUnavailable):
    """A provider answers, and not as it must."""
