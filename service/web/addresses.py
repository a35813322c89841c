"""Finds a client's address: the peer's, or the one that a trusted proxy names."""

import functools
import ipaddress
from collections.abc import Sequence

from service.sessions.origin import Address, plain

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LONGEST = 64  # characters of an address with zone or port; what is longer is none, and not kept


class TrustedProxies:
    """The proxies whose `X-Forwarded-For` is believed."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        """Trust these networks; those of mapped IPv4 addresses count as those of IPv4."""
        self._networks = [_plain_network(network) for network in networks]

    def client(self, peer: str, forwarded: bytes) -> Address | None:
        """Find the address of a client: the last one on the way that is no trusted proxy's.

        `forwarded` is the header, several of them joined; each proxy has added whom it heard. If
        all were proxies, it is the first. `None` where that is no address, such as `unknown`.
        """
        address = parse(peer)
        if not forwarded or not self._trusts(address):
            return address
        for entry in reversed(forwarded.decode("latin-1").split(",")):
            entry = entry.strip()
            if entry:  # RFC 9110, section 5.6.1: empty elements count for nothing
                address = parse(_without_port(entry))
                if not self._trusts(address):
                    break
        return address

    def client_text(self, peer: str, forwarded: bytes) -> str | None:
        """Spell the address of a client, as `client` finds it."""
        if not forwarded:
            return _text(peer)
        address = self.client(peer, forwarded)
        return str(address) if address else None

    def scheme(self, peer: str, forwarded: bytes, schemes: bytes) -> str:
        """Find by which scheme a client has come, `http` or `https`; we ourselves speak plain http.

        `forwarded` and `schemes` are `X-Forwarded-For` and `X-Forwarded-Proto`. The latter has an
        entry of each proxy, as the former, or one of the proxy before us alone.
        """
        entries = [entry.strip().lower() for entry in schemes.split(b",") if entry.strip()]
        if not entries or not self._trusts(parse(peer)):
            return "http"
        addresses = forwarded.decode("latin-1").split(",")
        proxies = 1
        for entry in reversed([entry.strip() for entry in addresses if entry.strip()]):
            if not self._trusts(parse(_without_port(entry))):
                break
            proxies += 1
        heard = entries[-proxies] if proxies <= len(entries) else entries[0]
        return "https" if heard == b"https" else "http"

    def trust(self, peer: str) -> bool:
        """Tell whether the peer of a connection is one of these proxies."""
        return self._trusts(parse(peer))

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def parse(text: str) -> Address | None:
    """Read an address; one of IPv4 inside IPv6 as that of IPv4. A zone is left out."""
    return _parse(text) if len(text) <= _LONGEST else None


def names_loopback(host: bytes) -> bool:
    """Tell whether the value of a `Host` header names this machine, and no other can be meant."""
    name = _without_port(host.decode("latin-1")).lower()
    if name == "localhost":
        return True
    address = parse(name)
    return address is not None and address.is_loopback


@functools.lru_cache(maxsize=1024)
def _text(peer: str) -> str | None:
    address = parse(peer)
    return str(address) if address else None


@functools.lru_cache(maxsize=1024)
def _parse(text: str) -> Address | None:
    try:
        return plain(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def _without_port(entry: str) -> str:
    """Take the port that some proxies add off an entry of `X-Forwarded-For`."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry


def _plain_network(network: Network) -> Network:
    first = network.network_address
    if isinstance(first, ipaddress.IPv6Address) and network.prefixlen >= 96:
        inner = plain(first)
        if isinstance(inner, ipaddress.IPv4Address):
            return ipaddress.ip_network((inner, network.prefixlen - 96))
    return network
