"""What a Redis server must be like to be trusted with sessions."""

import msgspec
from redis.exceptions import ResponseError

from service.errors import StartupError, StoreUnavailable
from service.keyspace.link import Link
from service.settings import Secret


class ServerReport(msgspec.Struct, frozen=True):
    """What a Redis server says it is, and how durable it is. `None`: it would not say."""

    version: str
    maxmemory_policy: str | None
    appendonly: str | None
    appendfsync: str | None

    @property
    def evicts(self) -> bool:
        """Whether it may drop keys before their time. Unknown counts as no."""
        return self.maxmemory_policy not in (None, "noeviction")


async def inspect_server(link: Link) -> ServerReport:
    """Ask the server what it is. Where CONFIG is forbidden, as in managed Redis, it keeps `None`.

    Raises:
        StoreUnavailable
    """
    info = _fields(await link.execute("INFO"))
    try:
        _, fsync = await link.execute("CONFIG", "GET", "appendfsync")
        appendfsync = fsync.decode()
    except (ResponseError, ValueError):
        appendfsync = None
    aof = {"0": "no", "1": "yes"}
    return ServerReport(
        version=info.get("valkey_version") or info.get("redis_version", "unknown"),
        maxmemory_policy=info.get("maxmemory_policy"),
        appendonly=aof.get(info.get("aof_enabled", "")),
        appendfsync=appendfsync,
    )


async def check_server(url: Secret) -> None:
    """Refuse a server that would evict keys. One that cannot be reached yet is let pass.

    Raises:
        StartupError: the server's `maxmemory-policy` would drop sessions before their time.
    """
    link = Link(url)
    try:
        report = await inspect_server(link)
    except StoreUnavailable:
        return
    finally:
        await link.aclose()
    if report.evicts:
        raise StartupError(
            f"SERVICE_REDIS_URL: the server's maxmemory-policy is {report.maxmemory_policy}, which "
            "drops sessions; set it to noeviction (CONFIG SET maxmemory-policy noeviction)"
        )


def _fields(info: bytes) -> dict[str, str]:
    """The `name:value` lines of INFO."""
    lines = (line.partition(":") for line in info.decode().splitlines())
    return {name: value for name, separator, value in lines if separator}
