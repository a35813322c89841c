"""Makes the use cases of logins at OpenID providers."""

import structlog

from service.accounts.provider_identities import ProviderIdentities
from service.authentication.opening import UpstreamSessionOpening
from service.authentication.provider_flow import ProviderFlow
from service.authentication.provider_links import ProviderLinks
from service.authentication.provider_login import ProviderAuthentication
from service.authentication.provider_logout import ProviderLogout
from service.authentication.sign_in_notices import SignInNotices
from service.composition.shared import Shared
from service.openid.providers import Providers
from service.settings import Settings
from service.web.services import ProviderServices

log = structlog.get_logger()

PAGE = "/account"


def create_provider_services(shared: Shared, providers: Providers) -> ProviderServices:
    """Create what the routes of logins at providers call."""
    settings, upstream = shared.settings, shared.upstream
    identities = ProviderIdentities(shared.engine)
    flow = ProviderFlow(
        providers,
        shared.tickets,
        upstream,
        shared.rate_limits,
        shared.attempts,
        own_address=settings.issuer,
        redirects=_redirects(settings),
        on_failure=_failed,
    )
    links = ProviderLinks(
        shared.redis,
        flow,
        shared.identities,
        shared.recent,
        identities,
        shared.sessions.cut_offs,
        shared.clock,
    )
    authentication = ProviderAuthentication(
        shared.redis,
        flow,
        links,
        shared.users,
        identities,
        shared.challenges,
        shared.pending,
        shared.rate_limits,
        shared.attempts,
        shared.sessions.cut_offs,
        UpstreamSessionOpening(
            shared.users, shared.sessions, upstream, SignInNotices(shared.redis, shared.notices)
        ),
        upstream,
        shared.clock,
        signup=settings.oauth_signup,
        verified_only=settings.email_verification == "required",
    )
    return ProviderServices(
        flow=flow,
        authentication=authentication,
        links=links,
        logout=ProviderLogout(providers, upstream, shared.clock),
    )


def _redirects(settings: Settings) -> frozenset[str]:
    """Name where logins may lead back: what is set, and the account page where it is served."""
    page = (settings.issuer.rstrip("/") + PAGE,) if settings.pages else ()
    return frozenset((*settings.oauth_redirects, *page))


def _failed(provider_id: str, reason: str) -> None:
    log.warning("provider failed", provider=provider_id, reason=reason)
