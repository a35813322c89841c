"""Makes what several use cases stand on: clients, tokens, sessions, tickets, rows of users."""

from collections.abc import Callable

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from service.accounts.account_changes import AccountChanges
from service.accounts.blocklist import Blocklist
from service.accounts.password_policy import PasswordPolicy
from service.accounts.passwords import Passwords
from service.accounts.second_factors import SecondFactors
from service.accounts.users import Users
from service.authentication.identity import Identities
from service.authentication.owners import OwnerLookup
from service.authentication.password_attempts import PasswordAttempts
from service.authentication.recent import RecentAuthentication
from service.clock import Clock, system_clock
from service.composition.limits import create_rate_limits
from service.composition.mail import (
    MailParts,
    Posting,
    create_mail,
    create_notices,
    create_ticket_mails,
)
from service.keyring.keys import KeysInUse, ServiceKeys
from service.mail.notices import Notices
from service.mail.outbox import Count
from service.mail.ticket_mails import TicketMails
from service.rate_limits import RateLimits
from service.redis.client import RedisClient
from service.redis.node import ConnectionCheck, Timing
from service.redis.preamble import Bounds
from service.redis.probe import refuse_without_rights
from service.redis.topology import BucketCheck, accept_buckets
from service.rollback.rollback import Rollback
from service.sessions.access_tokens import AccessTokens
from service.sessions.owner import Owners, unknown_owner
from service.sessions.refresh_tokens import RefreshTokens
from service.sessions.sessions import Lives, Sessions
from service.sessions.upstream import UpstreamSessions
from service.settings import Settings
from service.tickets.tickets import Tickets
from service.tickets.tokens import TicketTokens
from service.twofactor.challenges import Challenges
from service.twofactor.codes import CodeReader
from service.twofactor.pending import PendingEnrolments
from service.twofactor.recovery_codes import RecoveryDigests


def create_redis_client(
    settings: Settings,
    kind: Callable[..., RedisClient] = RedisClient,
    replicas: int | None = None,
    rollback: Rollback | None = None,
    beside: RedisClient | None = None,
    check: ConnectionCheck = refuse_without_rights,
    check_buckets: BucketCheck = accept_buckets,
) -> RedisClient:
    """Create the client of the Redis that the settings name.

    Its changes wait for as many `replicas`; `None`: for those of the settings. With `rollback` it
    serves nobody from a bucket that has gone back in time; without, `check` looks at connections,
    and `check_buckets` at what a known server gets.
    `beside`: another client of the process, by whose looks at the servers it goes, too.
    """
    bounds = Bounds(
        settings.events_max,
        settings.limit_calls if settings.rate_limit else None,
        floors=settings.redis_rollback != "off",
    )
    if replicas is None:
        replicas = settings.redis_min_replicas
    fence = None
    if rollback is not None:
        fence, check, check_buckets = (
            rollback.fence,
            rollback.check_connection,
            rollback.check_buckets,
        )
    redis = kind(
        settings.redis_url,
        replicas,
        Timing.of(settings),
        settings.issuer,
        bounds,
        check,
        fence,
        check_buckets,
    )
    if beside is None and rollback is not None:
        beside = rollback.redis
    if beside is not None:
        redis.go_by(beside)
    return redis


def create_access_tokens(settings: Settings, keys: ServiceKeys) -> AccessTokens:
    """Create what mints and accepts access tokens."""
    return AccessTokens(
        keys.signing,
        issuer=settings.issuer,
        audience=settings.audience,
        others=settings.audiences,
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


class Shared(msgspec.Struct, frozen=True):
    """What use cases stand on, made once for a process."""

    settings: Settings
    redis: RedisClient
    engine: AsyncEngine
    keys: KeysInUse
    clock: Clock
    passwords: Passwords
    policy: PasswordPolicy
    users: Users
    changes: AccountChanges
    factors: SecondFactors
    rate_limits: RateLimits
    attempts: PasswordAttempts
    access_tokens: AccessTokens
    sessions: Sessions
    tickets: Tickets
    challenges: Challenges
    pending: PendingEnrolments
    digests: RecoveryDigests
    codes: CodeReader
    identities: Identities
    recent: RecentAuthentication
    mail: MailParts | None
    ticket_mails: TicketMails | None
    notices: Notices
    upstream: UpstreamSessions


def create_shared(
    settings: Settings,
    redis: RedisClient,
    engine: AsyncEngine,
    keys: KeysInUse,
    passwords: Passwords,
    policy: PasswordPolicy,
    users: Users | None = None,
    clock: Clock = system_clock,
) -> Shared:
    """Make what use cases stand on. It follows `keys` when these change. `clock`: that of codes."""
    users = users or Users(engine)
    redis.on_connected.append(users.doubt)
    rate_limits = create_rate_limits(settings, redis, keys.now)
    access_tokens = create_access_tokens(settings, keys.now)
    refresh_tokens = create_refresh_tokens(keys.now)
    sessions = create_sessions(settings, redis, access_tokens, refresh_tokens, OwnerLookup(users))
    digests = RecoveryDigests(keys.now.peppers)

    def use(now: ServiceKeys) -> None:
        access_tokens.use(now.signing)
        refresh_tokens.use(now.refresh_mac_keys, now.refresh_mac_current)
        passwords.use(now.peppers)
        digests.use(now.peppers)
        rate_limits.use(now.email_digest_key)

    keys.follow(use)
    mail = create_mail(settings, redis, keys.keyring)
    tickets = create_tickets(redis, keys)
    return Shared(
        settings=settings,
        redis=redis,
        engine=engine,
        keys=keys,
        clock=clock,
        passwords=passwords,
        policy=policy,
        users=users,
        changes=AccountChanges(engine),
        factors=SecondFactors(engine),
        rate_limits=rate_limits,
        attempts=PasswordAttempts(redis, users, rate_limits, fair_to_networks=settings.rate_limit),
        access_tokens=access_tokens,
        sessions=sessions,
        tickets=tickets,
        challenges=Challenges(redis, settings.challenge_ttl),
        pending=PendingEnrolments(redis, keys.keyring, settings.enrollment_ttl),
        digests=digests,
        codes=CodeReader(keys.keyring, digests, clock, totp_ahead=settings.totp_ahead),
        identities=Identities(sessions, users),
        recent=RecentAuthentication(redis, settings.reauth_ttl),
        mail=mail,
        ticket_mails=create_ticket_mails(mail, tickets, clock),
        notices=create_notices(settings, mail, users, clock),
        upstream=UpstreamSessions(
            redis,
            settings.refresh_ttl + settings.challenge_ttl,
            settings.max_sessions,
            sessions.feed_life,
            clock,
        ),
    )


def create_posting(shared: Shared, count: Count) -> Posting | None:
    """Create what sends mail from this process. `None`: mail is off."""
    if shared.mail is None:
        return None
    return Posting(shared.mail, shared.redis, shared.keys.keyring, shared.clock, count)
