"""The origin of a request: address, user agent and id, and the form kept with a session.

Packed form, the tail of a session record:

    offset  length  field
    0       1       length of the address: 0 (not known), 4 or 16
    1       0/4/16  the address, network byte order
    …       rest    the user agent, raw DEFLATE with the dictionary below; empty when not sent

User agents are long and alike: with the dictionary a browser's 110 characters become some 20 bytes.
A changed dictionary makes the ones already stored unreadable: raise the record's version with it.
"""

import functools
import ipaddress
import socket
import zlib

import msgspec

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

USER_AGENT_KEPT = 256
"""Characters of a User-Agent header that are kept."""

_DICTIONARY = (
    b"python-requests/2.32 okhttp/4.12.0 Dart/3.5 (dart:io) Dalvik/2.1.0 CFNetwork/1568 Darwin/24 "
    b"PostmanRuntime/7.43 curl/8.10.1 Go-http-client/2.0 node-fetch axios/1.7 undici "
    b"Android 15; Mobile; rv:Linux; Android 10; K) SamsungBrowser/27.0 OPR/115.0.0.0 Edg/131.0.0.0 "
    b"Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
    b"Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) "
    b"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 "
    b"(KHTML, like Gecko) "
    b"Version/18.1 Mobile/15E148 Safari/604.1"
    b"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    b"Version/18.1 Safari/605.1.15"
    b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"
    b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    b"Chrome/131.0.0.0 Mobile Safari/537.36"
)
_IPV4_INSIDE = (bytes(10) + b"\xff\xff", b"\x00\x64\xff\x9b" + bytes(8))
"""The first 96 bits of IPv6 addresses that hold an IPv4 address in the last 32."""

_WINDOW_BITS = -12
_UNPACKED_BYTES = USER_AGENT_KEPT * 4


class RequestOrigin(msgspec.Struct, frozen=True):
    """Whoever sent a request. `address` is `None` where it is not known (a unix socket)."""

    address: Address | None
    user_agent: str
    request_id: str
    languages: str = ""
    """What the client says that its person reads (`Accept-Language`)."""

    @property
    def address_text(self) -> str:
        """The address as RFC 5952 writes it; '' where it is not known."""
        return _spelt(self.address.packed) if self.address else ""

    def packed(self) -> bytes:
        """Pack address and user agent into the form that is kept with a session."""
        address = self.address.packed if self.address else b""
        return bytes((len(address),)) + address + _deflate(self.user_agent[:USER_AGENT_KEPT])


NOBODY = RequestOrigin(None, "", "")
"""The origin of what the service does by itself, not because it was asked."""


def plain(address: Address) -> Address:
    """Return the IPv4 address inside an IPv6 address, or the address itself.

    Mapped ones (RFC 4291, section 2.5.5.2) are what a socket for both families shows; those with
    the well-known prefix (RFC 6052, section 2.1) are what a translator shows.
    """
    if isinstance(address, ipaddress.IPv6Address) and address.packed[:12] in _IPV4_INSIDE:
        return ipaddress.IPv4Address(address.packed[12:])
    return address


def network(address: Address | None) -> str:
    """Name the network that attempts are counted under: IPv4 /24, IPv6 /64 (IPv4 in it as IPv4).

    Clients whose address is not known (a unix socket) are one network.
    """
    if address is None:
        return "unknown"
    address = plain(address)
    length = 24 if address.version == 4 else 64
    return str(ipaddress.ip_network((address, length), strict=False))


def unpack(packed: bytes) -> tuple[str | None, str | None]:
    """Unpack address and user agent as texts, `None` where there is none.

    A user agent that does not unpack is none: the next rotation replaces it, and nothing depends on
    it. The address, which the scripts read, too, is as long as it says, or `ValueError` is raised.
    """
    end = 1 + packed[0]
    if packed[0] not in (0, 4, 16) or len(packed) < end:
        raise ValueError("the address")
    return _spelt(packed[1:end]) or None, _inflate(packed[end:])


@functools.lru_cache(maxsize=4096)
def _spelt(address: bytes) -> str:
    """Spell a packed address as RFC 5952 does; '' where there is none."""
    if not address:
        return ""
    if address[:12] in _IPV4_INSIDE and len(address) == 16:
        address = address[12:]
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)


@functools.lru_cache(maxsize=4096)
def _deflate(text: str) -> bytes:
    if not text:
        return b""
    deflate = zlib.compressobj(9, zlib.DEFLATED, _WINDOW_BITS, zdict=_DICTIONARY)
    return deflate.compress(text.encode()) + deflate.flush()


@functools.lru_cache(maxsize=4096)
def _inflate(packed: bytes) -> str | None:
    if not packed:
        return None
    inflate = zlib.decompressobj(_WINDOW_BITS, zdict=_DICTIONARY)
    try:
        text = inflate.decompress(packed, _UNPACKED_BYTES).decode()
    except (zlib.error, UnicodeDecodeError):
        return None
    return text if inflate.eof and not inflate.unused_data else None
