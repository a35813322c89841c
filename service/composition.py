"""Puts the parts of the service together, each from the settings and the parts below it."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from service import __version__
from service.account_lifecycle.deletion import AccountDeletion
from service.account_lifecycle.export import AccountExports
from service.accounts.account_changes import AccountChanges
from service.accounts.blocklist import Blocklist
from service.accounts.hashing import HashingPool
from service.accounts.password_policy import PasswordPolicy
from service.accounts.passwords import Passwords
from service.accounts.second_factors import SecondFactors
from service.accounts.users import Users
from service.authentication.identity import Identities
from service.authentication.opening import SessionOpening
from service.authentication.own_account import OwnAccount
from service.authentication.owners import OwnerLookup
from service.authentication.password import PasswordAuthentication
from service.authentication.password_attempts import PasswordAttempts
from service.authentication.password_change import PasswordChange
from service.authentication.password_reset import PasswordReset
from service.authentication.reauthentication import Reauthentication
from service.authentication.recent import RecentAuthentication
from service.authentication.second_factor import SecondFactorAuthentication
from service.clock import system_clock
from service.keyring.keys import KeysInUse, ServiceKeys
from service.keyring.watch import KeyWatch
from service.limit_composition import create_rate_limits
from service.readiness.checks import Parts
from service.readiness.status import Readiness, SharedStatus
from service.redis.client import RedisClient
from service.redis.node import Timing
from service.redis.preamble import Bounds
from service.redis.probe import refuse_without_rights
from service.sessions.access_tokens import AccessTokens
from service.sessions.owner import Owners, unknown_owner
from service.sessions.refresh_tokens import RefreshTokens
from service.sessions.sessions import Lives, Sessions
from service.settings import Settings
from service.tickets.tickets import Tickets
from service.tickets.tokens import TicketTokens
from service.twofactor.challenges import Challenges
from service.twofactor.codes import CodeReader
from service.twofactor.enrolment import Enrolments
from service.twofactor.management import SecondFactorManagement
from service.twofactor.pending import PendingEnrolments
from service.twofactor.proving import SecondFactorProofs
from service.twofactor.recovery_codes import RecoveryDigests
from service.web.metrics.gauges import Sources
from service.web.services import Services


def create_redis_client(settings: Settings) -> RedisClient:
    """Create the client of the Redis that the settings name."""
    timing = Timing(
        timedelta(milliseconds=settings.redis_connect_timeout_ms),
        timedelta(milliseconds=settings.redis_reply_timeout_ms),
    )
    bounds = Bounds(settings.events_max, settings.limit_calls if settings.rate_limit else None)
    replicas = settings.redis_min_replicas
    return RedisClient(
        settings.redis_url, replicas, timing, settings.issuer, bounds, refuse_without_rights
    )


def create_access_tokens(settings: Settings, keys: ServiceKeys) -> AccessTokens:
    """Create what mints and accepts access tokens."""
    return AccessTokens(
        keys.signing,
        issuer=settings.issuer,
        audience=settings.audience,
        life=settings.access_ttl,
        clock=system_clock,
    )


def create_refresh_tokens(keys: ServiceKeys) -> RefreshTokens:
    """Create what mints and recognises refresh tokens."""
    return RefreshTokens(keys.refresh_mac_keys, keys.refresh_mac_current)


def create_sessions(
    settings: Settings,
    redis: RedisClient,
    access_tokens: AccessTokens,
    refresh_tokens: RefreshTokens,
    owners: Owners | None = None,
) -> Sessions:
    """Create the use cases of sessions in this Redis. Without `owners` nobody looks those up."""
    return Sessions(
        redis,
        refresh_tokens,
        access_tokens,
        Lives(settings.refresh_ttl, settings.refresh_idle_ttl, settings.refresh_grace),
        settings.max_sessions,
        owners or unknown_owner,
        settings.feed_kinds,
    )


def create_tickets(redis: RedisClient, keys: KeysInUse) -> Tickets:
    """Create the tickets in this Redis. They follow `keys` when these change."""
    tokens = TicketTokens(keys.now.refresh_mac_keys, keys.now.refresh_mac_current)
    keys.follow(lambda now: tokens.use(now.refresh_mac_keys, now.refresh_mac_current))
    return Tickets(redis, tokens, keys.keyring)


def create_password_policy(settings: Settings) -> PasswordPolicy:
    """Create the policy for new passwords."""
    file = settings.password_blocklist
    return PasswordPolicy(
        settings.password_min, settings.app_name, Blocklist(file) if file else None
    )


def metric_sources(pool: HashingPool, watch: KeyWatch, ready: SharedStatus) -> Sources:
    """Name where the metrics of this process find their figures."""
    return Sources(__version__, pool.queue, watch.ages, lambda: ready.last)


def create_services(
    settings: Settings,
    redis: RedisClient,
    engine: AsyncEngine,
    passwords: Passwords,
    policy: PasswordPolicy,
    keys: KeysInUse,
    ready: Callable[[], Awaitable[Readiness]] | None = None,
    users: Users | None = None,
) -> Services:
    """Create the use cases that the routes call. They follow `keys` when these change."""
    users, factors = users or Users(engine), SecondFactors(engine)
    rate_limits = create_rate_limits(settings, redis, keys.now)
    attempts = PasswordAttempts(redis, users, rate_limits, fair_to_networks=settings.rate_limit)
    digests = RecoveryDigests(keys.now.peppers)
    challenges = Challenges(redis, settings.challenge_ttl)
    access_tokens = create_access_tokens(settings, keys.now)
    refresh_tokens = create_refresh_tokens(keys.now)
    owners = OwnerLookup(users)
    sessions_ = create_sessions(settings, redis, access_tokens, refresh_tokens, owners)

    def use(now: ServiceKeys) -> None:
        access_tokens.use(now.signing)
        refresh_tokens.use(now.refresh_mac_keys, now.refresh_mac_current)
        passwords.use(now.peppers)
        digests.use(now.peppers)
        rate_limits.use(now.email_digest_key)

    keys.follow(use)
    authentication = PasswordAuthentication(
        users,
        passwords,
        policy,
        rate_limits,
        attempts,
        sessions_,
        challenges,
        system_clock,
    )
    ahead, cut_offs = settings.totp_ahead, sessions_.cut_offs
    pending = PendingEnrolments(redis, keys.keyring, settings.enrollment_ttl)
    enrolments = Enrolments(
        pending,
        factors,
        keys.keyring,
        digests,
        rate_limits,
        cut_offs,
        app_name=settings.app_name,
        clock=system_clock,
        totp_ahead=ahead,
    )

    identities = Identities(sessions_, users)
    recent = RecentAuthentication(redis, settings.reauth_ttl)
    changes = AccountChanges(engine)
    codes = CodeReader(keys.keyring, digests, system_clock, totp_ahead=ahead)
    proofs = SecondFactorProofs(redis, factors, codes, rate_limits)
    return Services(
        accounts=authentication,
        reauthentication=Reauthentication(
            identities, users, passwords, attempts, proofs, rate_limits, sessions_
        ),
        before_enrolment=recent if settings.reauth_for_enrolment else None,
        password_change=PasswordChange(
            identities,
            recent,
            users,
            passwords,
            policy,
            attempts,
            changes,
            cut_offs,
            SessionOpening(users, sessions_),
            system_clock,
        ),
        own_account=OwnAccount(
            identities,
            recent,
            sessions_,
            rate_limits,
            AccountDeletion(redis, changes, cut_offs, sessions_, pending),
            AccountExports(redis, users, system_clock),
        ),
        password_reset=PasswordReset(
            users,
            passwords,
            policy,
            attempts,
            changes,
            cut_offs,
            create_tickets(redis, keys),
            system_clock,
        ),
        second_step=SecondFactorAuthentication(
            redis,
            users,
            factors,
            challenges,
            rate_limits,
            sessions_,
            codes,
        ),
        identities=identities,
        enrolments=enrolments,
        second_factor=SecondFactorManagement(redis, factors, codes, digests, rate_limits, cut_offs),
        sessions=sessions_,
        access_tokens=access_tokens,
        jwks=lambda: keys.now.signing.jwks(),
        readiness=ready or SharedStatus(Parts(redis, engine, settings.kms)),
    )
