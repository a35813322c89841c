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
    endpoint: Endpoint
    host_header: str

    @property
    def is_loopback(self) -> bool:
        """Whether nothing but this machine is loaded."""
        return ipaddress.ip_address(self.endpoint.address.partition("%")[0]).is_loopback


def find(url: str) -> Target:
    """Find the target that a URL such as `http://127.0.0.1:8000` names.

    Raises:
        UnusableError: it is no such URL, or its name leads nowhere.
    """
    try:
        parts = urlsplit(url)
        usual = 443 if parts.scheme == "https" else 80
        port = parts.port or usual
    except ValueError:
        parts, port, usual = urlsplit(""), 0, 0
    plain = not (parts.username or parts.query or parts.fragment) and parts.path in ("", "/")
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
        raise UnusableError("--host must be like http://127.0.0.1:8000, without a path or a user")
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UnusableError(f"--host {parts.hostname}: {error.strerror or error}") from None
    tls = parts.hostname if parts.scheme == "https" else None
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Target(
        f"{parts.scheme}://{parts.netloc}",
        Endpoint(str(found[0][4][0]), port, tls),
        name if port == usual else f"{name}:{port}",
    )
