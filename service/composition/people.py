"""Makes the use cases of people, which the routes call."""

from collections.abc import Awaitable, Callable

from service import __version__
from service.account_lifecycle.deletion import AccountDeletion
from service.account_lifecycle.export import AccountExports
from service.accounts.hashing import HashingPool
from service.accounts.provider_identities import ProviderIdentities
from service.api_keys.store import ApiKeyStore
from service.api_keys.verification import ApiKeys
from service.authentication.opening import SessionOpening
from service.authentication.own_account import OwnAccount
from service.authentication.password import PasswordAuthentication
from service.authentication.password_change import PasswordChange
from service.authentication.password_reset import PasswordReset
from service.authentication.reauthentication import Reauthentication
from service.authentication.second_factor import SecondFactorAuthentication
from service.authentication.sign_in_notices import SignInNotices
from service.composition.confirmations import create_receipts
from service.composition.mail import Posting
from service.composition.mailed_links import (
    create_email_change,
    create_email_verification,
    create_reset_requests,
    create_sign_up_mails,
)
from service.composition.oauth import create_presented_tokens
from service.composition.providers import create_provider_services
from service.composition.shared import Shared
from service.confirmations.guard_positions import GuardPositions
from service.confirmations.status import GuardStatuses
from service.confirmations.waiting import Confirmations
from service.events.security_log import SecurityLog
from service.keyring.watch import KeyWatch
from service.openid.providers import Providers
from service.readiness.checks import Parts
from service.readiness.status import Readiness, SharedStatus
from service.twofactor.enrolment import Enrolments
from service.twofactor.management import SecondFactorManagement
from service.twofactor.proving import SecondFactorProofs
from service.web.metrics.gauges import Sources
from service.web.oauth_metadata import oauth_metadata
from service.web.services import Services


def metric_sources(
    pool: HashingPool,
    watch: KeyWatch,
    ready: SharedStatus,
    posting: Posting | None = None,
    rollback: Callable[[], tuple[int, float, int]] | None = None,
) -> Sources:
    """Name where the metrics of this process find their figures."""
    mail = posting.figures if posting else None
    return Sources(__version__, pool.queue, watch.ages, lambda: ready.last, mail, rollback)


def create_services(
    shared: Shared,
    ready: Callable[[], Awaitable[Readiness]] | None = None,
    providers: Providers | None = None,
) -> Services:
    """Create the use cases that the routes call."""
    settings, redis, keys = shared.settings, shared.redis, shared.keys
    cut_offs = shared.sessions.cut_offs
    return Services(
        accounts=_password_authentication(shared),
        reauthentication=_reauthentication(shared),
        before_enrolment=shared.recent if settings.reauth_for_enrolment else None,
        password_change=_password_change(shared),
        own_account=_own_account(shared),
        password_reset=_password_reset(shared),
        reset_requests=create_reset_requests(shared),
        email_verification=create_email_verification(shared),
        email_change=create_email_change(shared),
        second_step=SecondFactorAuthentication(
            redis,
            shared.users,
            shared.factors,
            shared.challenges,
            shared.rate_limits,
            shared.sessions,
            shared.codes,
            shared.upstream,
            shared.notices,
        ),
        providers=create_provider_services(shared, providers or Providers([], shared.clock)),
        identities=shared.identities,
        enrolments=_enrolments(shared),
        second_factor=SecondFactorManagement(
            redis,
            shared.factors,
            shared.codes,
            shared.digests,
            shared.rate_limits,
            cut_offs,
            shared.notices,
        ),
        sessions=shared.sessions,
        access_tokens=shared.access_tokens,
        confirmations=Confirmations(GuardPositions(redis)),
        receipts=create_receipts(shared),
        guards=GuardStatuses(GuardPositions(redis), shared.clock),
        presented_tokens=create_presented_tokens(shared),
        metadata=oauth_metadata(settings.issuer, settings.public_url),
        api_keys=ApiKeys(ApiKeyStore(shared.engine), shared.rate_limits, shared.clock),
        security_log=SecurityLog(redis),
        jwks=lambda: keys.now.signing.jwks(),
        readiness=ready or SharedStatus(Parts(redis, shared.engine, settings.kms)),
    )


def _password_authentication(shared: Shared) -> PasswordAuthentication:
    return PasswordAuthentication(
        shared.users,
        shared.passwords,
        shared.policy,
        shared.rate_limits,
        shared.attempts,
        shared.sessions,
        shared.challenges,
        shared.clock,
        create_sign_up_mails(shared),
        SignInNotices(shared.redis, shared.notices),
    )


def _reauthentication(shared: Shared) -> Reauthentication:
    return Reauthentication(
        shared.identities,
        shared.users,
        shared.passwords,
        shared.attempts,
        SecondFactorProofs(
            shared.redis, shared.factors, shared.codes, shared.rate_limits, shared.notices
        ),
        shared.rate_limits,
        shared.sessions,
    )


def _password_change(shared: Shared) -> PasswordChange:
    return PasswordChange(
        shared.identities,
        shared.recent,
        shared.users,
        shared.passwords,
        shared.policy,
        shared.attempts,
        shared.changes,
        shared.sessions.cut_offs,
        SessionOpening(shared.users, shared.sessions),
        shared.clock,
        shared.notices,
    )


def _password_reset(shared: Shared) -> PasswordReset:
    return PasswordReset(
        shared.users,
        shared.passwords,
        shared.policy,
        shared.attempts,
        shared.changes,
        shared.sessions.cut_offs,
        shared.tickets,
        shared.settings.reset_ttl,
        shared.clock,
        shared.notices,
    )


def _own_account(shared: Shared) -> OwnAccount:
    deletion = AccountDeletion(
        shared.redis, shared.changes, shared.sessions.cut_offs, shared.sessions, shared.pending
    )
    return OwnAccount(
        shared.identities,
        shared.recent,
        shared.sessions,
        shared.rate_limits,
        deletion,
        AccountExports(shared.redis, shared.users, ProviderIdentities(shared.engine), shared.clock),
        shared.notices,
    )


def _enrolments(shared: Shared) -> Enrolments:
    return Enrolments(
        shared.pending,
        shared.factors,
        shared.keys.keyring,
        shared.digests,
        shared.rate_limits,
        shared.sessions.cut_offs,
        app_name=shared.settings.app_name,
        clock=shared.clock,
        totp_ahead=shared.settings.totp_ahead,
        notices=shared.notices,
    )
