"""Whether what will be written to lies on this machine; and if not, whether that is meant."""

import ipaddress
import os
import socket
from collections.abc import Iterable
from urllib.parse import parse_qs, urlsplit

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


def database_hosts(url: str) -> Iterable[str]:
    """Find the hosts in a database URL, as libpq reads it; none for a file or a unix socket."""
    if not url.startswith("postgresql://"):
        return []
    parts = urlsplit(url)
    netloc = parts.netloc.rpartition("@")[2]
    listed = netloc or parse_qs(parts.query).get("host", [os.environ.get("PGHOST", "")])[-1]
    hosts = [_without_port(host) for host in listed.split(",")]
    return [host for host in hosts if host and not host.startswith(("/", "@", "%2F", "%2f"))]


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
