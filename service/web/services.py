"""The use cases that routes call, put together in `app.py` when the app starts."""

from collections.abc import Awaitable, Callable

import msgspec
from litestar import Litestar

from service.api_keys.verification import ApiKeys
from service.authentication.email_change import EmailChange
from service.authentication.email_verification import EmailVerification
from service.authentication.identity import Identities
from service.authentication.own_account import OwnAccount
from service.authentication.password import PasswordAuthentication
from service.authentication.password_change import PasswordChange
from service.authentication.password_reset import PasswordReset, ResetRequests
from service.authentication.provider_flow import ProviderFlow
from service.authentication.provider_links import ProviderLinks
from service.authentication.provider_login import ProviderAuthentication
from service.authentication.provider_logout import ProviderLogout
from service.authentication.reauthentication import Reauthentication
from service.authentication.recent import RecentAuthentication
from service.authentication.second_factor import SecondFactorAuthentication
from service.confirmations.receipts import Receipts
from service.confirmations.status import GuardStatuses
from service.confirmations.waiting import Confirmations
from service.events.security_log import SecurityLog
from service.readiness.status import Readiness
from service.sessions.access_tokens import AccessTokens
from service.sessions.presented_tokens import PresentedTokens
from service.sessions.sessions import Sessions
from service.twofactor.enrolment import Enrolments
from service.twofactor.management import SecondFactorManagement


class ProviderServices(msgspec.Struct, frozen=True):
    """The use cases of logins at OpenID providers."""

    flow: ProviderFlow
    authentication: ProviderAuthentication
    links: ProviderLinks
    logout: ProviderLogout


class Services(msgspec.Struct, frozen=True):
    """The use cases behind the routes, and the `metadata` of RFC 8414, spelt as JSON.

    `before_enrolment`: what is demanded before a second factor is enrolled; `None`: nothing.
    """

    accounts: PasswordAuthentication
    reauthentication: Reauthentication
    before_enrolment: RecentAuthentication | None
    password_change: PasswordChange
    own_account: OwnAccount
    password_reset: PasswordReset
    reset_requests: ResetRequests
    email_verification: EmailVerification
    email_change: EmailChange
    second_step: SecondFactorAuthentication
    providers: ProviderServices
    identities: Identities
    enrolments: Enrolments
    second_factor: SecondFactorManagement
    sessions: Sessions
    access_tokens: AccessTokens
    confirmations: Confirmations
    receipts: Receipts
    guards: GuardStatuses
    api_keys: ApiKeys
    security_log: SecurityLog
    presented_tokens: PresentedTokens
    metadata: bytes
    jwks: Callable[[], bytes]
    readiness: Callable[[], Awaitable[Readiness]]


_KEY = "services"


def install(app: Litestar, services: Services) -> None:
    """Give `services` to the routes of `app`."""
    app.state[_KEY] = services


def services_of(app: Litestar) -> Services:
    """Return the services that were installed."""
    services: Services = app.state[_KEY]
    return services
