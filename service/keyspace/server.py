"""What the Redis servers must be like to be trusted with sessions."""

from collections.abc import Iterable

import msgspec
from redis.exceptions import ResponseError

from service.errors import StartupError, StoreRefuses, StoreUnavailable
from service.keyspace.link import Link
from service.settings import Secret


class ServerReport(msgspec.Struct, frozen=True):
    """What a Redis says it is, and how durable it is; the worst of all primaries of a cluster.

    `None`: it would not say.
    """

    version: str
    maxmemory_policy: str | None
    appendonly: str | None
    appendfsync: str | None
    replicas: int
    """Connected to the primary that has the fewest."""

    @property
    def evicts(self) -> bool:
        """Whether it may drop keys before their time. Unknown counts as no."""
        return self.maxmemory_policy not in (None, "noeviction")


async def inspect_server(link: Link) -> ServerReport:
    """Ask all primaries what they are. Where CONFIG is forbidden, as in managed Redis: `None`.

    Raises:
        StoreUnavailable
    """
    infos = [_fields(info) for info in await link.ask_all("INFO")]
    try:
        settings = await link.ask_all("CONFIG", "GET", "appendfsync")
        appendfsync = _worst((fsync.decode() for _, fsync in settings), best="always")
    except (ResponseError, ValueError):
        appendfsync = None
    aof = {"0": "no", "1": "yes"}
    return ServerReport(
        version=min(info.get("valkey_version") or info.get("redis_version", "") for info in infos),
        maxmemory_policy=_worst((i.get("maxmemory_policy") for i in infos), best="noeviction"),
        appendonly=_worst((aof.get(i.get("aof_enabled", "")) for i in infos), best="yes"),
        appendfsync=appendfsync,
        replicas=min(int(info.get("connected_slaves", 0)) for info in infos),
    )


async def check_server(url: Secret) -> None:
    """Refuse a server that would evict keys, or is not what the URL says.

    One that is not up yet, or does not take our user or database now, is let pass: readiness tells,
    and it may be mended there as well as here.

    Raises:
        StartupError: the server's `maxmemory-policy` would drop sessions before their time, or it
            is of another kind than the URL's.
    """
    link = Link(url)
    try:
        report = await inspect_server(link)
    except StoreRefuses as refusal:
        if refusal.permanent and refusal.refusal not in ("user", "database"):
            raise StartupError(f"SERVICE_REDIS_URL: {refusal}") from None
        return
    except StoreUnavailable:
        return
    finally:
        await link.aclose()
    if report.evicts:
        raise StartupError(
            f"SERVICE_REDIS_URL: the server's maxmemory-policy is {report.maxmemory_policy}, which "
            "drops sessions; set it to noeviction (CONFIG SET maxmemory-policy noeviction)"
        )


def _worst(told: Iterable[str | None], best: str) -> str | None:
    """The best that can be said of all servers: one that is not `best`, else an unknown one."""
    found = list(told)
    bad = [value for value in found if value not in (best, None)]
    return bad[0] if bad else None if None in found else best


def _fields(info: bytes) -> dict[str, str]:
    """The `name:value` lines of INFO."""
    lines = (line.partition(":") for line in info.decode().splitlines())
    return {name: value for name, separator, value in lines if separator}
