"""Makes the use cases of operators."""

from sqlalchemy.ext.asyncio import AsyncEngine

from service.account_lifecycle.deletion import AccountDeletion
from service.account_lifecycle.export import AccountExports
from service.accounts.account_changes import AccountChanges
from service.accounts.users import Users
from service.api_keys.administration import ApiKeyAdministration
from service.api_keys.store import ApiKeyStore
from service.authentication.account_limits import AccountLimits
from service.authentication.password_reset import ResetLinks
from service.clock import system_clock
from service.composition.limits import create_rate_limits
from service.composition.shared import (
    create_access_tokens,
    create_refresh_tokens,
    create_sessions,
    create_tickets,
)
from service.keyring.keys import KeysInUse
from service.operators.accounts import AccountAdministration
from service.operators.lookup import AccountLookup
from service.operators.operations import Operations
from service.operators.sessions import SessionAdministration
from service.redis.client import RedisClient
from service.settings import Settings
from service.twofactor.pending import PendingEnrolments


def create_operations(
    settings: Settings, redis: RedisClient, engine: AsyncEngine, keys: KeysInUse
) -> Operations:
    """Create the use cases of operators. They follow `keys` when these change."""
    users, changes = Users(engine), AccountChanges(engine)
    access_tokens = create_access_tokens(settings, keys.now)
    sessions_ = create_sessions(settings, redis, access_tokens, create_refresh_tokens(keys.now))
    cut_offs = sessions_.cut_offs
    pending = PendingEnrolments(redis, keys.keyring, settings.enrollment_ttl)
    rate_limits = create_rate_limits(settings, redis, keys.now)
    keys.follow(lambda now: rate_limits.use(now.email_digest_key))
    sessions = SessionAdministration(redis, cut_offs, sessions_.feed_life)
    return Operations(
        lookup=AccountLookup(users, sessions),
        accounts=AccountAdministration(
            redis,
            users,
            changes,
            sessions,
            cut_offs,
            AccountDeletion(redis, changes, cut_offs, sessions_, pending),
            pending,
            system_clock,
        ),
        sessions=sessions,
        limits=AccountLimits(redis, rate_limits),
        reset_links=ResetLinks(create_tickets(redis, keys), settings.reset_ttl),
        exports=AccountExports(redis, users, system_clock),
        api_keys=ApiKeyAdministration(redis, ApiKeyStore(engine), system_clock),
    )
