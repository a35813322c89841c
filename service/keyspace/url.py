"""What a Redis URL names: one server, or how to find the primaries of several.

    redis://[[user]:password@]host[:6379][/db]             one server; rediss:// with TLS
    unix:///path/to/redis.sock                             one server on this machine
    redis+sentinel://…@host[:26379],host[:26379]/primary   the primary that Sentinels know by a name
    redis+cluster://…@host[:6379],host[:6379]              a cluster, from any of its nodes

Before the `@` stand the credentials of the Redis servers. Options follow a `?`, by the names of
redis-py's connections: `ssl_ca_certs`, `ssl_certfile`, …; `sentinel_username` and
`sentinel_password` where the Sentinels ask for some. `rediss+sentinel`, `rediss+cluster`: with TLS.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)

Address = tuple[str, int]

_FORM = re.compile(r"(rediss?)\+(sentinel|cluster)://(?:([^/?]*)@)?([^@/?]+)(?:/([^?]*))?(\?.*)?")
_DEFAULT_PORTS = {"sentinel": 26379, "cluster": 6379}


class RedisUrl(msgspec.Struct, frozen=True):
    """A URL, read. The options may hold a password, so they are not shown."""

    topology: Literal["standalone", "sentinel", "cluster"]
    hosts: tuple[Address, ...]
    """Of a standalone server, of Sentinels, of some nodes of a cluster. None for a socket file."""
    primary: str
    """The name by which Sentinels know the primary."""
    connection_class: type[AbstractConnection]
    options: Mapping[str, Any]
    """What a connection to a Redis server is made with, besides host and port."""
    sentinel_options: Mapping[str, Any]
    """The same for a connection to a Sentinel."""

    @classmethod
    def parse(cls, text: str) -> "RedisUrl":
        """Read a URL.

        Raises:
            ValueError: it is none of the forms above. Does not show it.
        """
        try:
            return _several(text) if "+" in text.partition("://")[0] else _one(text)
        except (ValueError, TypeError):
            raise ValueError("not a Redis URL") from None  # the cause may quote a password

    def __repr__(self) -> str:
        return f"RedisUrl({self.topology}, {self.hosts})"

    def connection(self, host: Address | None, **more: Any) -> AbstractConnection:
        """A connection to `host`, or to the socket file, that is not open yet."""
        place: dict[str, Any] = {"host": host[0], "port": host[1]} if host else {}
        return self.connection_class(**self.options, **place, **more)

    def sentinel_connection(self, host: Address, **more: Any) -> AbstractConnection:
        """A connection to a Sentinel, not open yet."""
        kind = SSLConnection if self.connection_class is SSLConnection else Connection
        return kind(host=host[0], port=host[1], **self.sentinel_options, **more)


def _one(text: str) -> RedisUrl:
    options: dict[str, Any] = dict(parse_url(text))
    kind = options.pop("connection_class", Connection)
    host = (options.pop("host", "localhost"), options.pop("port", 6379))
    if kind is UnixDomainSocketConnection:
        return _checked(RedisUrl("standalone", (), "", kind, options, {}))
    return _checked(RedisUrl("standalone", (host,), "", kind, options, {}))


def _several(text: str) -> RedisUrl:
    form = _FORM.fullmatch(text)
    if form is None:
        raise ValueError
    scheme, topology, credentials, netloc, path, query = form.groups(default="")
    port = _DEFAULT_PORTS[topology]
    hosts = tuple(_address(host, port) for host in netloc.split(","))
    options: dict[str, Any] = dict(parse_url(f"{scheme}://{credentials}@localhost{query}"))
    kind = options.pop("connection_class", Connection)
    options.pop("host")
    theirs = {
        name: options.pop(f"sentinel_{name}")
        for name in ("username", "password")
        if f"sentinel_{name}" in options
    }
    theirs |= {name: value for name, value in options.items() if name.startswith("ssl_")}
    if (topology == "sentinel") != bool(path):  # a cluster has neither a name nor a database
        raise ValueError
    if topology == "sentinel":
        return _checked(RedisUrl("sentinel", hosts, path, kind, options, theirs))
    return _checked(RedisUrl("cluster", hosts, "", kind, options, {}))


def _address(text: str, default_port: int) -> Address:
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.username or parts.path:
        raise ValueError
    return parts.hostname, parts.port or default_port


def _checked(url: RedisUrl) -> RedisUrl:
    """The URL, if redis-py takes its options: a wrong one is found here, not at the first call."""
    url.connection(url.hosts[0] if url.hosts else None)
    return url
