"""The address that is loaded."""

import ipaddress
import socket
from urllib.parse import urlsplit

import msgspec

from tools.http_load.connection import Endpoint


class UnusableError(Exception):
    """There is nothing to report; the message says why, and what to do about it."""


class Target(msgspec.Struct, frozen=True):
    """Where requests go. The name was looked up once: what was asked about is what is loaded."""

    url: str
    tls: bool
    name: str
    address: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether nothing but this machine is loaded."""
        return ipaddress.ip_address(self.address.partition("%")[0]).is_loopback

    @property
    def endpoint(self) -> Endpoint:
        """Where connections go."""
        return Endpoint(self.address, self.port, self.name if self.tls else None)

    @property
    def host_header(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return name if self.port == (443 if self.tls else 80) else f"{name}:{self.port}"


def find(url: str) -> Target:
    """Find the target that a URL such as `http://127.0.0.1:8000` names.

    Raises:
        UnusableError: it is no such URL, or its name leads nowhere.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        parts, port = urlsplit(""), 0
    plain = not (parts.username or parts.query or parts.fragment) and parts.path in ("", "/")
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
        raise UnusableError("--host must be like http://127.0.0.1:8000, without a path or a user")
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UnusableError(f"--host {parts.hostname}: {error.strerror or error}") from None
    address = str(found[0][4][0])
    return Target(f"{parts.scheme}://{parts.netloc}", parts.scheme == "https", parts.hostname,
                  address, port)  # fmt: skip
