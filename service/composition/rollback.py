"""Makes what notices that Redis has gone back in time."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta

import msgspec

from service.composition.shared import create_redis_client
from service.database.engine import open_database
from service.errors import StoreUnavailable
from service.redis.client import RedisClient
from service.redis.fence import Fence
from service.redis.keys import FEED_SKEW
from service.redis.probe import refuse_without_rights
from service.rollback.acceptance import Acceptance
from service.rollback.floors import Floors
from service.rollback.journal import Journal
from service.rollback.presence import Presence
from service.rollback.replay import Replay
from service.rollback.rollback import Rollback
from service.rollback.store import RollbackStore
from service.rollback.watch import Watch
from service.settings import Secret, Settings

_KEPT_LONGER = timedelta(hours=1)
"""Beyond the life of a session, for clocks that differ."""

CONNECTIONS = 2
"""To the user store: for the journal, and for comparing."""

_COMMAND_PATIENCE = timedelta(seconds=5)
"""The timeout for the database."""


def create_replay(settings: Settings, redis: RedisClient, store: RollbackStore) -> Replay:
    """Create what does lost revocations again. `redis` must not be fenced."""
    return Replay(
        redis,
        store,
        (settings.access_ttl + 2 * FEED_SKEW) // timedelta(milliseconds=1),
        always_cut_off=settings.redis_rollback == "cutoff",
        steps_ahead=int(settings.totp_ahead),
    )


def create_acceptance(settings: Settings, redis_url: Secret) -> Acceptance:
    """Create what the command `redis accept` does. To be closed."""
    redis = create_redis_client(msgspec.structs.replace(settings, redis_url=redis_url))
    engine = open_database(settings.database_url.reveal(), 1, _COMMAND_PATIENCE)
    store = RollbackStore(engine, os.urandom(16))
    return Acceptance(redis, engine, store, create_replay(settings, redis, store))


def create_rollback(settings: Settings, *, serves: bool = True) -> Rollback:
    """Create the fence of a process that serves, or of a command.

    It has a client of its own, which is not fenced, and connections of its own to the user store:
    no request waits for one that the journal uses.
    """
    if settings.redis_rollback == "off":
        return Rollback(refuse_without_rights, None, "")
    redis = create_redis_client(
        settings,
        check=lambda made: rollback.check_own_connection(made),
        check_buckets=lambda node, buckets: rollback.check_own_buckets(node, buckets),
    )
    engine = open_database(
        settings.database_url.reveal(),
        CONNECTIONS,
        timedelta(milliseconds=settings.database_timeout_ms),
    )
    store = RollbackStore(engine, os.urandom(16))
    floors = Floors(redis, store, int(settings.totp_ahead))
    watch = Watch(redis, store, Fence(), floors, serves=serves)
    waits_for_operator = settings.redis_rollback == "refuse"
    journal = Journal(
        redis,
        store,
        watch,
        None if waits_for_operator else create_replay(settings, redis, store),
        settings.refresh_ttl + _KEPT_LONGER,
    )
    waits_for = (
        "an operator has looked and runs `openshow-auth redis accept --yes`"
        if waits_for_operator
        else "what has ended since then has ended again"
    )
    parts = redis, engine, watch, journal
    rollback = Rollback(refuse_without_rights, parts, waits_for)
    return rollback


async def forget_processes(settings: Settings) -> None:
    """Have nobody wait for processes of before, where it is known that none of them runs."""
    engine = open_database(settings.database_url.reveal(), 1, _COMMAND_PATIENCE)
    try:
        with suppress(StoreUnavailable):  # they are waited for then, for some seconds
            await Presence(engine, b"").forget_all()
    finally:
        await engine.dispose()


@asynccontextmanager
async def opened_redis(settings: Settings, *, fenced: bool) -> AsyncIterator[RedisClient]:
    """Open Redis for a command that ends.

    `fenced`: buckets in which it has gone back in time are left alone, and the fence hears what the
    command has ended.
    """
    from service.embedded.client import server_url  # its client is one that `serve` does without

    url = settings.redis_url or server_url(settings.data_dir)
    settings = msgspec.structs.replace(settings, redis_url=url)
    rollback = create_rollback(settings, serves=False) if fenced else None
    async with AsyncExitStack() as cleanup:
        if rollback is not None:
            cleanup.push_async_callback(rollback.aclose)
            await rollback.start()
        redis = create_redis_client(settings, rollback=rollback)
        cleanup.push_async_callback(redis.aclose)  # first, as its new connections are looked at
        yield redis
