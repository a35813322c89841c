"""The stores of a service that runs elsewhere, opened with the service's own code."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import msgspec

from service.accounts.hashing import HashingPool
from service.accounts.passwords import Passwords
from service.accounts.users import Users
from service.api_keys.administration import ApiKeyAdministration
from service.api_keys.store import ApiKeyStore
from service.clock import system_clock
from service.composition.shared import (
    create_access_tokens,
    create_redis_client,
    create_refresh_tokens,
    create_sessions,
)
from service.database.engine import open_database
from service.errors import StartupError
from service.keyring.keys import ServiceKeys
from service.keyring.kms.selection import open_key_services
from service.keyring.store import KeyStore
from service.redis.client import RedisClient
from service.sessions.sessions import Sessions
from service.settings import Settings


class Stores(msgspec.Struct, frozen=True):
    """What a service works on: its Redis, its user store, its keys."""

    redis_client: RedisClient
    users: Users
    api_keys: ApiKeyAdministration
    passwords: Passwords
    lanes: tuple[Sessions, ...]
    """Each on a connection of its own, the first on that of `redis_client`."""
    keys: ServiceKeys

    @property
    def sessions(self) -> Sessions:
        """For what is not in a hurry."""
        return self.lanes[0]


@asynccontextmanager
async def open_stores(
    settings: Settings, *, lanes: int = 1, founding: bool = False
) -> AsyncIterator[Stores]:
    """Open the stores that `settings` name, with the keys that the service has there.

    `lanes`: connections to each Redis server. `founding`: where there are no keys yet, make them,
    as the service's first start does.

    Raises:
        StartupError: there are no keys yet, or they cannot be opened.
        StoreUnavailable: the user store or the key service cannot be reached, or is not set up.
    """
    engine = open_database(
        settings.database_url.reveal(),
        settings.database_pool,
        timedelta(milliseconds=settings.database_timeout_ms),
    )
    links, pool = [create_redis_client(settings) for _ in range(lanes)], HashingPool()
    try:
        store = KeyStore(engine)
        if not founding and not (await store.read()).data_keys:
            raise StartupError("this database has no keys yet: start the service on it once")
        keys = await store.load(open_key_services(settings, os.environ), system_clock)
        access, refresh = create_access_tokens(settings, keys), create_refresh_tokens(keys)
        yield Stores(
            redis_client=links[0],
            users=Users(engine),
            api_keys=ApiKeyAdministration(links[0], ApiKeyStore(engine), system_clock),
            passwords=Passwords(pool, keys.peppers, settings.bcrypt_cost),
            lanes=tuple(
                create_sessions(settings, redis_client, access, refresh) for redis_client in links
            ),
            keys=keys,
        )
    finally:
        await pool.close()
        for redis_client in links:
            await redis_client.aclose()
        await engine.dispose()
