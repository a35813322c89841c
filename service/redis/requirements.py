"""The requirements that Redis servers must meet to be trusted with sessions."""

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import msgspec

from service.errors import StartupError, StoreRefuses, StoreUnavailable
from service.redis.client import RedisClient
from service.redis.node import Timing
from service.redis.refusals import CommandRefused
from service.redis.rights import lacks_rights_to_load
from service.settings import Secret

T = TypeVar("T")


class ServerReport(msgspec.Struct, frozen=True):
    """The kind and durability of a Redis server; of a cluster, the worst of all primaries.

    `None`: it would not say.
    """

    version: str | None
    role: str | None
    maxmemory_policy: str | None
    appendonly: str | None
    appendfsync: str | None
    replicas: int | None
    """Replicas connected to the primary that has the fewest."""

    cannot_load: str | None = None
    """Why a restart would lose changes, as a sentence; empty if it would not."""

    @property
    def evicts(self) -> bool:
        """Whether it may drop keys before their time. Unknown counts as no."""
        return self.maxmemory_policy not in (None, "noeviction")


class Refusals:
    """What our user may not ask, so that it is not asked again for a minute.

    Each time would be an entry in the server's ACL LOG, which somebody may watch.
    """

    _LIFE = 60.0

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    async def ask(self, name: str, ask: Callable[[], Awaitable[T]]) -> T | None:
        """Ask, and return the answer; `None` where the server does not let our user ask."""
        if time.monotonic() < self._until.get(name, 0.0):
            return None
        try:
            return await ask()
        except CommandRefused as refused:
            if refused.refusal not in ("user", "error"):  # the latter: it does not know the command
                raise
            self._until[name] = time.monotonic() + self._LIFE
            return None


async def inspect_server(redis: RedisClient, refusals: Refusals | None = None) -> ServerReport:
    """Ask all primaries what they are. What they do not let our user ask is `None`.

    Raises:
        StoreUnavailable
    """
    ask = (refusals or Refusals()).ask
    infos = [_fields(info) for info in await ask("INFO", lambda: redis.ask_all("INFO")) or ()]
    aof = {"0": "no", "1": "yes"}
    versions = [i.get("valkey_version") or i.get("redis_version", "") for i in infos]
    replicas = [int(i.get("connected_slaves", 0)) for i in infos]
    return ServerReport(
        version=min(versions, default=None),
        role=_worst((i.get("role") for i in infos), best="master"),
        maxmemory_policy=_worst((i.get("maxmemory_policy") for i in infos), best="noeviction"),
        appendonly=_worst((aof.get(i.get("aof_enabled", "")) for i in infos), best="yes"),
        appendfsync=await ask("CONFIG GET", lambda: _appendfsync(redis)),
        replicas=min(replicas, default=None),
        cannot_load=await ask("ACL DRYRUN", lambda: lacks_rights_to_load(redis)),
    )


async def check_server(url: Secret, issuer: str = "", timing: Timing | None = None) -> None:
    """Refuse a server that would lose what it has confirmed, or is not what the URL says.

    One that is not up yet, does not let us look, or takes no writes for now, is let pass: readiness
    tells, and it may pass by itself. What the URL says wrongly does not.

    Raises:
        StartupError: the server does not take the user, password or database of the URL, or is of
            another kind than it; its `maxmemory-policy` would drop sessions before their time; its
            user `default` may not load every change.
    """
    redis = RedisClient(url, timing=timing, issuer=issuer)
    try:
        report = await inspect_server(redis)
    except StoreRefuses as refusal:
        if refusal.permanent:
            raise StartupError(f"SERVICE_REDIS_URL: {refusal}") from None
        return
    except StoreUnavailable:
        return
    finally:
        await redis.aclose()
    if report.evicts:
        raise StartupError(
            f"SERVICE_REDIS_URL: the server's maxmemory-policy is {report.maxmemory_policy}, which "
            "drops sessions; set it to noeviction (CONFIG SET maxmemory-policy noeviction)"
        )
    if report.cannot_load:
        raise StartupError(f"SERVICE_REDIS_URL: {report.cannot_load}")


async def _appendfsync(redis: RedisClient) -> str | None:
    """Read `appendfsync`, which only CONFIG GET tells; `None` where our user may not ask.

    That command tells passwords as well: our user in redis.conf may not use it, but the embedded
    server and one without ACL let us.
    """
    settings = await redis.ask_all("CONFIG", "GET", "appendfsync")
    return _worst((told[1].decode() if len(told) == 2 else None for told in settings), "always")


def _worst(told: Iterable[str | None], best: str) -> str | None:
    """Choose the worst value of all servers: one that is not `best`, else an unknown one."""
    found = list(told)
    bad = [value for value in found if value not in (best, None)]
    return bad[0] if bad else None if None in found or not found else best


def _fields(info: bytes) -> dict[str, str]:
    """Read the `name:value` lines of INFO."""
    lines = (line.partition(":") for line in info.decode().splitlines())
    return {name: value for name, separator, value in lines if separator}
