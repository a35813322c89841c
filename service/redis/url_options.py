"""The options behind the `?` of a Redis URL, and how its parts are escaped."""

import re
import ssl
from collections.abc import Callable, Mapping
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

_TIMEOUTS = (
    "the service has the settings SERVICE_REDIS_CONNECT_TIMEOUT_MS and "
    "SERVICE_REDIS_REPLY_TIMEOUT_MS, a guard has `bound`"
)
_ELSEWHERE = {
    "protocol": "the protocol is RESP2",
    "decode_responses": "replies are bytes",
    "client_name": "connections have no names",
    "username": "the user stands before the @",
    "password": "the password stands before the @",
    "timeout": _TIMEOUTS,
    "socket_timeout": _TIMEOUTS,
    "socket_connect_timeout": _TIMEOUTS,
}
"""Options of other clients that are not options here, and why not."""


def refuse(reason: str) -> NoReturn:
    raise ValueError(reason)


def number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        refuse(f"{name} must be a number")
    return int(text)


def _text(name: str, text: str) -> str:
    return text


def _one_of(values: Mapping[str, object]) -> Callable[[str, str], object]:
    def read(name: str, text: str) -> object:
        if text not in values:
            refuse(f"{name} must be {' or '.join(values)}")
        return values[text]

    return read


OPTIONS: dict[str, Callable[[str, str], object]] = {
    "db": number,
    "sentinel_username": _text,
    "sentinel_password": _text,
    "ssl_ca_certs": _text,
    "ssl_ca_path": _text,
    "ssl_certfile": _text,
    "ssl_keyfile": _text,
    "ssl_password": _text,
    "ssl_ciphers": _text,
    "ssl_cert_reqs": _one_of({name: name for name in ("required", "optional", "none")}),
    "ssl_check_hostname": _one_of({"true": True, "false": False}),
    "ssl_min_version": _one_of(
        {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
    ),
}
"""The options that may follow the `?`, by redis-py's names, and how each is read."""


def read_options(query: str, topology: str, tls: bool) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for part in query.split("&") if query else ():
        name, _, value = part.partition("=")
        if name in _ELSEWHERE:
            refuse(f"{name} is not an option here: {_ELSEWHERE[name]}")
        if name not in OPTIONS:
            refuse(f"what follows the ? must be of {', '.join(OPTIONS)}; a ? in a password is %3F")
        if name in options:
            refuse(f"{name} is given twice")
        if not value or "+" in value:  # which is a space in forms, and itself in URLs
            refuse(f"{name} must have a value, in which a + is written %2B")
        if name.startswith("ssl_") and not tls:
            refuse(f"{name} needs TLS, as in rediss://")
        if name.startswith("sentinel_") and topology != "sentinel":
            refuse(f"{name} is for redis+sentinel://")
        options[name] = OPTIONS[name](name, unescaped(name, value))
    if ("ssl_keyfile" in options) > ("ssl_certfile" in options):
        refuse("ssl_keyfile needs ssl_certfile")
    return options


def unescaped(what: str, text: str) -> str:
    """Undo the percent-escapes of a text."""
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        refuse(f"{what} has a % that begins no escape; a % itself is written %25")
    try:
        found = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        refuse(f"{what} has escapes that are not UTF-8")
    if "\0" in found:
        refuse(f"{what} has a NUL")
    return found
