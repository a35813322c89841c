"""Makes the use cases of operators, for the command line and for their HTTP."""

from sqlalchemy.ext.asyncio import AsyncEngine

from service.account_lifecycle.deletion import AccountDeletion
from service.account_lifecycle.export import AccountExports
from service.accounts.account_changes import AccountChanges
from service.accounts.provider_identities import ProviderIdentities
from service.accounts.user_pages import UserPages
from service.accounts.users import Users
from service.api_keys.administration import ApiKeyAdministration
from service.api_keys.store import ApiKeyStore
from service.authentication.account_limits import AccountLimits
from service.authentication.password_reset import ResetLinks
from service.clock import system_clock
from service.composition.limits import create_rate_limits
from service.composition.mail import create_mail, create_notices, create_ticket_mails
from service.composition.relying_parties import create_relying_parties
from service.composition.shared import (
    Shared,
    create_access_tokens,
    create_refresh_tokens,
    create_sessions,
    create_tickets,
)
from service.confirmations.guard_positions import GuardPositions
from service.confirmations.status import GuardStatuses
from service.events.reading import EventReader
from service.keyring.keys import KeysInUse
from service.mail.notices import Notices
from service.mail.ticket_mails import TicketMails
from service.operators.accounts import AccountAdministration
from service.operators.lookup import AccountLookup
from service.operators.operations import Operations
from service.operators.sessions import SessionAdministration
from service.rate_limits import RateLimits
from service.redis.client import RedisClient
from service.sessions.sessions import Sessions
from service.settings import Settings
from service.tickets.tickets import Tickets
from service.twofactor.pending import PendingEnrolments


def create_operations(
    settings: Settings, redis: RedisClient, engine: AsyncEngine, keys: KeysInUse
) -> Operations:
    """Create the use cases of operators. They follow `keys` when these change."""
    access_tokens = create_access_tokens(settings, keys.now)
    sessions = create_sessions(settings, redis, access_tokens, create_refresh_tokens(keys.now))
    rate_limits = create_rate_limits(settings, redis, keys.now)
    keys.follow(lambda now: rate_limits.use(now.email_digest_key))
    users = Users(engine)
    return _operations(
        settings,
        redis,
        engine,
        users,
        sessions,
        PendingEnrolments(redis, keys.keyring, settings.enrollment_ttl),
        rate_limits,
        *_mailing(settings, redis, users, keys),
    )


def _mailing(
    settings: Settings, redis: RedisClient, users: Users, keys: KeysInUse
) -> tuple[Tickets, TicketMails | None, Notices]:
    tickets, mail = create_tickets(redis, keys), create_mail(settings, redis, keys.keyring)
    notices = create_notices(settings, mail, users, system_clock)
    return tickets, create_ticket_mails(mail, tickets, system_clock), notices


def operations_beside(shared: Shared) -> Operations:
    """Create the use cases of operators in a process that serves."""
    return _operations(
        shared.settings,
        shared.redis,
        shared.engine,
        shared.users,
        shared.sessions,
        shared.pending,
        shared.rate_limits,
        shared.tickets,
        shared.ticket_mails,
        shared.notices,
    )


def _operations(
    settings: Settings,
    redis: RedisClient,
    engine: AsyncEngine,
    users: Users,
    sessions: Sessions,
    pending: PendingEnrolments,
    rate_limits: RateLimits,
    tickets: Tickets,
    mails: TicketMails | None,
    notices: Notices,
) -> Operations:
    changes, cut_offs = AccountChanges(engine), sessions.cut_offs
    administration = SessionAdministration(redis, cut_offs, sessions.feed_life)
    return Operations(
        lookup=AccountLookup(users, UserPages(engine), administration),
        accounts=AccountAdministration(
            redis,
            users,
            changes,
            administration,
            cut_offs,
            AccountDeletion(redis, changes, cut_offs, sessions, pending),
            pending,
            system_clock,
            notices,
        ),
        sessions=administration,
        limits=AccountLimits(redis, rate_limits),
        reset_links=ResetLinks(tickets, settings.reset_ttl, mails),
        exports=AccountExports(redis, users, ProviderIdentities(engine), system_clock),
        api_keys=ApiKeyAdministration(redis, ApiKeyStore(engine), system_clock),
        relying_parties=create_relying_parties(settings, redis, engine),
        events=EventReader(redis),
        guards=GuardStatuses(GuardPositions(redis), system_clock),
        notices=notices,
    )
