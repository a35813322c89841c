"""Where a webhook may go, so that nobody reaches what only this machine reaches (SSRF).

https, by a certificate that verifies; the name is resolved once, and the connection goes to an
address that was looked at. No address that is not global, unless its network is allowed; to such a
network plain http is allowed, too.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from service.daemon_thread import run_in_daemon_thread

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PORTS = {"https": 443, "http": 80}
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL = ipaddress.ip_network("2000::/3")
"""All that is routed of IPv6 (RFC 4291, section 2.4); `is_global` takes site-local ones, too."""


class Receiver(msgspec.Struct, frozen=True):
    """Where a URL points; `path` has the query with it. `repr` shows neither: it may be secret."""

    url: str
    host: str
    port: int
    path: str
    is_secure: bool

    @property
    def authority(self) -> str:
        """The `Host` field."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = _PORTS["https" if self.is_secure else "http"]
        return host if self.port == usual else f"{host}:{self.port}"

    def __repr__(self) -> str:
        return f"Receiver({self.authority!r})"


class Forbidden(Exception):
    """The receiver must not be called. The message says why."""


def receiver_at(url: str) -> Receiver:
    """Read the URL of a receiver. Raises `ValueError` with what it must be."""
    expected = "must be https:// URLs, without user, password and fragment"
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise ValueError(expected)
    try:
        parts = urlsplit(url)
        usual, named = _PORTS[parts.scheme], parts.port
    except (ValueError, KeyError):
        raise ValueError(expected) from None
    if not parts.hostname or named == 0 or "@" in parts.netloc or parts.fragment:
        raise ValueError(expected)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Receiver(url, parts.hostname, named or usual, path, parts.scheme == "https")


class Addresses:
    """Resolves the name of a receiver, in one thread at a time, whoever waits for it.

    A name server that hangs costs that thread alone: the loop's own threads resolve the names of
    Redis and the user store as well, two at a time.
    """

    def __init__(self, receiver: Receiver, allowed: Sequence[Network]) -> None:
        """Ask nobody yet. `allowed`: networks that may be called though they are not public."""
        self._receiver = receiver
        self._allowed = allowed
        self._resolving: asyncio.Task[list[str]] | None = None

    async def one(self) -> Address:
        """Resolve the name, once, and return an address to connect to.

        Raises:
            Forbidden: one of its addresses must not be called, or it has none.
        """
        if self._resolving is None or self._resolving.done():
            host, port = self._receiver.host, self._receiver.port
            self._resolving = asyncio.create_task(run_in_daemon_thread(_resolve, host, port))
        resolving = self._resolving
        await asyncio.wait([resolving])  # whoever is cancelled leaves it to the others
        addresses = [ipaddress.ip_address(each.partition("%")[0]) for each in resolving.result()]
        for address in addresses:
            refuse(address, self._receiver.is_secure, self._allowed)
        if not addresses:
            raise Forbidden("its name has no address")
        return addresses[0]


def _resolve(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # there is none, or no name is spelt like that
        return []
    return [str(entry[4][0]) for entry in found]


def refuse(address: Address, is_secure: bool, allowed: Sequence[Network]) -> None:
    """Refuse an address that must not be called. Raises `Forbidden`."""
    inside = _inside(address)
    if any(each in network for network in allowed for each in (address, inside)):
        return
    is_routed = inside.is_global and (inside.version == 4 or inside in _GLOBAL)
    if not is_routed or inside.is_multicast or inside.is_reserved:
        raise Forbidden("it has an address that is not public")
    if not is_secure:
        raise Forbidden("it is not https")


def _inside(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address leads to, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address
