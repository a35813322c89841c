"""The servers and pods of one topology, up for one run after the other."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from tools.chaos.pods import PODS, Pods
from tools.chaos.redis_topologies import ClusterServers, Redis, SentinelServers, Standalone
from tools.chaos.schedule import Control, Topology, UserStore
from tools.testbed.postgresql import PostgresServer
from tools.testbed.user_store_copy import PostgresCopy, SqliteCopy, UserStoreCopy

GRACE = 3
"""Seconds in which a spent refresh token still gives its successor. Short, so that it passes."""

ACCESS_LIFE = 86_400
"""Seconds that an access token is good for. Long, so that none expires meanwhile."""

Tell = Callable[[str], None]
"""Is told what is being done."""


class Stage(msgspec.Struct, frozen=True):
    """What people meet, and what faults hit."""

    redis: Redis
    pods: Pods
    postgres: PostgresServer | None
    """The user store, unless that is a SQLite file."""
    copy: UserStoreCopy
    environment: Mapping[str, str]
    """That of a process on the same stores."""
    directory: Path
    """Where files may be put."""

    async def heal(self) -> None:
        """Have all serve, whatever was done to them."""
        if self.postgres is not None:
            await asyncio.to_thread(self.postgres.heal)
        await self.redis.heal()
        await self.pods.heal()


@asynccontextmanager
async def raised(
    topology: Topology,
    users: UserStore,
    control: Control,
    directory: Path,
    tell: Tell = lambda step: None,
    pods: int = PODS,
    more: Mapping[str, str] | None = None,
) -> AsyncIterator[Stage]:
    """Raise a stage on servers of its own, whose data and logs go into `directory`.

    `more`: settings of the pods.
    """
    async with AsyncExitStack() as stack:
        tell(f"starting Redis ({topology})")
        redis = _redis(topology, control, directory / "redis")
        stack.push_async_callback(redis.stop)
        await redis.start()
        settings = {**_settings(redis), **(more or {})}
        postgres = None
        copy: UserStoreCopy = SqliteCopy(directory / "var" / "service.db", directory / "copy")
        if users == "postgresql":
            tell("starting PostgreSQL")
            postgres = await asyncio.to_thread(PostgresServer)
            stack.push_async_callback(asyncio.to_thread, postgres.remove)
            await asyncio.to_thread(postgres.start)
            settings["SERVICE_DATABASE_URL"] = url = postgres.url("postgres")
            copy = PostgresCopy(url, directory / "copy")
        tell("starting pods")
        started = Pods(directory, redis.url, settings, control.without, pods)
        stack.push_async_callback(started.stop)
        await started.start()
        own = {
            "SERVICE_ENV": "test",
            "SERVICE_BCRYPT_COST": "4",
            "SERVICE_DATA_DIR": str(directory / "var"),
            "SERVICE_REDIS_URL": redis.url.reveal(),
            "SERVICE_DATABASE_URL": f"sqlite:///{directory / 'var' / 'service.db'}",
        }
        if control.without == "no-fence":
            own["SERVICE_REDIS_ROLLBACK"] = "off"
        yield Stage(redis, started, postgres, copy, own | settings, directory)


def _settings(redis: Redis) -> dict[str, str]:
    """Set the pods so that nothing expires meanwhile but the grace."""
    settings = {
        "SERVICE_ACCESS_TTL": str(ACCESS_LIFE),
        "SERVICE_REFRESH_GRACE": str(GRACE),
        "SERVICE_MAX_SESSIONS": "1000",
    }
    if redis.acknowledgements:
        settings["SERVICE_REDIS_MIN_REPLICAS"] = str(redis.acknowledgements)
    return settings


def _redis(topology: Topology, control: Control, directory: Path) -> Redis:
    directory.mkdir(parents=True)
    if topology == "standalone":
        return Standalone(directory, control.appendfsync)
    wanted = control.acknowledgements
    if topology == "sentinel":
        return SentinelServers(directory, 2 if wanted is None else wanted)
    return ClusterServers(directory, 1 if wanted is None else wanted)
