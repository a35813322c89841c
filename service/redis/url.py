"""Reads a Redis URL: it names one server, or how to find the primaries of several.

    redis://[[user]:password@]host[:6379][/db]             one server; rediss:// with TLS
    unix://[[user]:password@]/path/to/redis.sock           one server on this machine
    redis+sentinel://…@host[:26379],host[:26379]/primary   the primary that Sentinels know by a name
    redis+cluster://…@host[:6379],host[:6379]              a cluster, from any of its nodes

Before the `@` stand the credentials of the Redis servers. Options follow a `?`; `url_options.py`
has them. `rediss+sentinel`, `rediss+cluster`: with TLS. All but hosts may have percent-escapes.

Each part is honoured or refused with the reason: what is passed over in silence would lead to
another server or database than was meant. No reason quotes the URL, wherever it went wrong: any
part may be a piece of a password that lacks its escapes.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)

from .url_options import number, read_options, refuse, unescaped

Address = tuple[str, int]
Topology = Literal["standalone", "sentinel", "cluster"]

_FORM = re.compile(r"(redis|rediss|unix)(?:\+(sentinel|cluster))?://([^/?]*)(/[^?]*)?(?:\?(.*))?")
_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_LONGEST_SOCKET_PATH = 107
"""Bytes of a socket's path that Linux takes."""


class RedisUrl(msgspec.Struct, frozen=True):
    """A URL, read. The options may hold a password, so they are not shown."""

    topology: Topology
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
            ValueError: it is none of the forms above, or a part of it cannot be honoured. The
                message is a line that says why; it does not show the URL.
        """
        try:
            return _parse(text)
        except ValueError as error:
            raise ValueError(
                f"not a Redis URL: {error}"
            ) from None  # its cause may quote a password

    def check_files(self) -> None:
        """Read the certificates and keys that the options name.

        Raises:
            ValueError: one cannot be read, or is none.
        """
        host = self.hosts[0] if self.hosts else None
        connection = self.connection(host, driver_info=None)  # else it reads redis-py's metadata
        if not isinstance(connection, SSLConnection):
            return
        try:
            connection.ssl_context.get()
            os.listdir(self.options.get("ssl_ca_path", "/"))  # which OpenSSL reads later, or never
        except (OSError, ValueError):  # ssl.SSLError is an OSError
            raise ValueError(
                "not a Redis URL: a file that it names by ssl_… cannot be read, or holds another "
                "kind of thing"
            ) from None

    def __repr__(self) -> str:
        return f"RedisUrl({self.topology}, {self.hosts})"

    def connection(self, host: Address | None, **more: Any) -> AbstractConnection:
        """Make a connection to `host`, or to the socket file, that is not open yet."""
        place: dict[str, Any] = {"host": host[0], "port": host[1]} if host else {}
        return self.connection_class(**self.options, **place, **more)

    def sentinel_connection(self, host: Address, **more: Any) -> AbstractConnection:
        """Make a connection to a Sentinel, not open yet."""
        kind = SSLConnection if self.connection_class is SSLConnection else Connection
        return kind(host=host[0], port=host[1], **self.sentinel_options, **more)


def _parse(text: str) -> RedisUrl:
    if "#" in text:
        refuse("it has a #, which begins a fragment; in a password it is written %23")
    if re.search(r"[\s\x00-\x20\x7f]", text):
        refuse("it has white space or control characters; they are written %20 and so on")
    if (form := _FORM.fullmatch(text)) is None:
        refuse(
            "it must look like redis://host:6379/0, unix:///path/redis.sock, "
            "redis+sentinel://host:26379,host:26379/primary or redis+cluster://host:6379"
        )
    scheme, several, authority, path, query = form.groups(default="")
    credentials, _, netloc = authority.rpartition("@")
    options = _credentials(credentials)
    if scheme == "unix":
        return _socket_file(
            several, netloc, path, options, read_options(query, "standalone", False)
        )
    topology: Topology = several or "standalone"  # type: ignore[assignment]  # the form's groups
    more = read_options(query, topology, scheme == "rediss")
    hosts = _hosts(netloc, topology)
    primary = _primary(topology, path, more)
    if more.get("db") == 0:
        del more["db"]
    theirs = {
        name: more.pop(f"sentinel_{name}")
        for name in ("username", "password")
        if f"sentinel_{name}" in more
    }
    tls = {name: value for name, value in more.items() if name.startswith("ssl_")}
    return RedisUrl(
        topology,
        hosts,
        primary,
        SSLConnection if scheme == "rediss" else Connection,
        options | more,
        (theirs | tls) if topology == "sentinel" else {},
    )


def _socket_file(
    several: str, netloc: str, path: str, options: dict[str, Any], more: dict[str, Any]
) -> RedisUrl:
    if several or netloc or path in ("", "/"):
        refuse("a socket file is named by its whole path, as in unix:///path/redis.sock")
    file = unescaped("the path", path)
    if len(file.encode()) > _LONGEST_SOCKET_PATH:
        refuse(f"the path of a socket file has at most {_LONGEST_SOCKET_PATH} bytes")
    if more.get("db") == 0:
        del more["db"]
    return RedisUrl(
        "standalone", (), "", UnixDomainSocketConnection, options | more | {"path": file}, {}
    )


def _credentials(text: str) -> dict[str, Any]:
    user, _, password = text.partition(":")
    given = {"username": user, "password": password}
    return {name: unescaped(f"the {name}", part) for name, part in given.items() if part}


def _hosts(netloc: str, topology: Topology) -> tuple[Address, ...]:
    names = netloc.split(",")
    if topology == "standalone" and len(names) > 1:
        refuse("several hosts need redis+sentinel:// or redis+cluster://")
    # Named twice, a Sentinel would have two votes.
    return tuple(dict.fromkeys(_address(name, topology) for name in names))


def _address(text: str, topology: Topology) -> Address:
    host, port = text, ""
    if re.search(r":[^\]:]*$", text):
        host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = _ipv6(host[1:-1])
    elif ":" in host:
        refuse("an IPv6 address stands in brackets, as in [::1]:6379; a : in a password is %3A")
    elif not host and topology == "standalone":
        host = "localhost"
    elif not _HOST_NAME.fullmatch(host):
        refuse("a host must be a name or an address; special characters of a password are escaped")
    if not port:
        return host, 26379 if topology == "sentinel" else 6379
    if not (re.fullmatch(r"[0-9]{1,5}", port) and 1 <= int(port) <= 65_535):
        refuse("a port must be a number from 1 to 65535; in a password / is written %2F, and ? %3F")
    return host, int(port)


def _ipv6(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(unescaped("an address", text)))
    except ValueError:
        refuse("what stands in brackets must be an IPv6 address")


def _primary(topology: Topology, path: str, more: dict[str, Any]) -> str:
    """Read the name of the primary that a path gives; of one server it gives the database."""
    given = path.removeprefix("/")
    if topology == "sentinel":
        if not given or "/" in given:
            refuse("behind the Sentinels stands the name of the primary, and only that")
        return unescaped("the name of the primary", given)
    if topology == "cluster" and (given or more.get("db")):
        refuse("a cluster has database 0 only, which is not named")
    if given:
        if not (given.isascii() and given.isdigit()):
            refuse("the path must be the number of a database, as in /0")
        named = number("the database", given)
        if more.setdefault("db", named) != named:
            refuse("the path and ?db= name different databases")
    return ""
