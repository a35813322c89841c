"""Whether what will be written to lies on this machine; and if not, whether that is meant."""

import ipaddress
import os
import socket

from service.database.libpq import is_postgresql, read
from service.redis.url import RedisUrl
from service.settings import Settings


def is_loopback(host: str) -> bool:
    """Whether all addresses of `host` are this machine's loopback. An unknown name is not."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return all(ipaddress.ip_address(str(entry[4][0])).is_loopback for entry in found)


def elsewhere(settings: Settings) -> list[str]:
    """Find the stores' hosts that are not on loopback. Where a tunnel ends, nobody can see."""
    redis = [host for host, _ in RedisUrl.parse(settings.redis_url.reveal()).hosts]
    hosts = [*redis, *database_hosts(settings.database_url.reveal())]
    return list(dict.fromkeys(host for host in hosts if not is_loopback(host)))


def database_hosts(url: str) -> list[str]:
    """Find the hosts in a database URL, as libpq reads it; none for a file or a unix socket."""
    if not is_postgresql(url):
        return []
    hosts = read(url).driver.get("host") or os.environ.get("PGHOST", "").split(",")
    return [host for host in hosts if host and not host.startswith(("/", "@"))]
