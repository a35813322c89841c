"""Reads `SERVICE_MAIL_URL`: which transport, where, and how much TLS it asks for."""

from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

from service.settings import Secret
from service.settings.paths import folder_path
from service.settings.values import is_loopback

Tls = Literal["from the start", "required", "opportunistic"]


class MailUrl(msgspec.Struct, frozen=True, kw_only=True):
    """Where mail goes: into a `folder`, or to a server. `password` is a secret."""

    folder: Path | None = None
    print_links: bool = False
    host: str = ""
    port: int = 0
    tls: Tls = "required"
    user: str = ""
    password: Secret = Secret("")
    ca: Path | None = None

    @property
    def is_here(self) -> bool:
        """Whether mail stays on this machine."""
        return self.folder is not None or is_loopback(self.host)


def parse(text: str) -> MailUrl:
    """Read the URL.

    Raises:
        ValueError: it is none; says what it must be, without a word of it.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("must have a host, and a port from 1 to 65535") from None
    try:
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        raise ValueError("must have options of the form name=value") from None
    options = dict(pairs)
    if len(options) < len(pairs):
        raise ValueError("must have each option once")
    if parts.scheme == "file":
        return _folder(unquote(parts.path), parts.netloc, options)
    return _server(parts, port, options)


def _folder(path: str, host: str, options: dict[str, str]) -> MailUrl:
    if host or not path.startswith("/"):
        raise ValueError("must name a folder by its whole path: file:///folder")
    printing = options.pop("links", "")
    if options or printing not in ("", "print"):
        raise ValueError("takes one option for a folder, links=print")
    return MailUrl(folder=folder_path(path), print_links=printing == "print")


def _server(parts: SplitResult, port: int | None, options: dict[str, str]) -> MailUrl:
    host = parts.hostname or ""
    if not host or any(character.isspace() for character in host):
        raise ValueError("must name a server: smtp://user:password@host:587")
    if parts.path not in ("", "/") or parts.fragment:
        raise ValueError("must end with the server, or with options behind it")
    ca = options.pop("ca", "")
    tls = options.pop("tls", "")
    if options:
        raise ValueError("takes the options tls and ca alone")
    encrypted = parts.scheme == "smtps"
    if tls not in ("", "required", "opportunistic") or (tls and encrypted):
        raise ValueError("takes tls=required or tls=opportunistic, and neither with smtps://")
    mode: Tls = "opportunistic" if tls == "opportunistic" else "required"
    if encrypted:
        mode = "from the start"
    elif not tls and is_loopback(host):
        mode = "opportunistic"
    return MailUrl(
        host=host,
        port=port or (465 if encrypted else 587),
        tls=mode,
        user=unquote(parts.username or ""),
        password=Secret(unquote(parts.password or "")),
        ca=Path(ca) if ca else None,
    )
