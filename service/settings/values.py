"""The types of settings, and the parser of each.

A parser takes the text of a variable. It raises `ValueError` with what the text must be, never with
the text itself, which may be a secret.
"""

import ipaddress
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

from service.rates import Rate, parse as _rate
from service.settings.paths import path

Parser = Callable[[str], object]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LONGEST = timedelta(days=36_500)  # longer lives are cut to this, lest clock arithmetic overflow


class Secret:
    """A text that must not be seen: `repr` and `str` are masked, `reveal()` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "Secret('***')" if self._text else "Secret('')"

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def reveal(self) -> str:
        """Return the text itself. Call it where the text is used, nowhere earlier."""
        return self._text


def parser_of(annotation: Any) -> Parser:
    """Return the parser of a field: that in its `Annotated`, or that of its type."""
    if get_origin(annotation) is Annotated:
        parser: Parser = annotation.__metadata__[0]
        return parser
    if get_origin(annotation) is Literal:
        return one_of(*get_args(annotation))
    return _BY_TYPE[annotation]


def integer(low: int, high: int | None = None) -> Callable[[str], int]:
    """Parse decimal ASCII digits, in bounds that both are allowed."""
    expected = f"must be an integer from {low} to {high}" if high else f"must be an integer ≥ {low}"

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise ValueError(expected)
        number = int(text)
        if number < low or (high is not None and number > high):
            raise ValueError(expected)
        return number

    return parse


def _seconds(text: str) -> timedelta:
    try:
        return min(timedelta(seconds=integer(1)(text)), _LONGEST)
    except OverflowError:
        return _LONGEST
    except ValueError:
        raise ValueError("must be a whole number of seconds ≥ 1") from None


def ratio(text: str) -> float:
    """Parse a part of a whole, as a decimal fraction."""
    if not re.fullmatch(r"0(\.[0-9]{1,9})?|1(\.0{1,9})?", text):
        raise ValueError("must be a number from 0 to 1, such as 0.01")
    return float(text)


def delay(text: str) -> timedelta:
    """Parse seconds, of which there may be none."""
    return timedelta(seconds=integer(0, 600)(text))


def one_of(*choices: str) -> Callable[[str], str]:
    """Parse one of these texts."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError("must be " + " or ".join(choices))
        return text

    return parse


def switch(text: str) -> bool:
    """Parse what may be on or off."""
    return one_of("on", "off")(text) == "on"


def plain_text(text: str) -> str:
    """Parse a text of one line."""
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be plain text without control characters or outer spaces")
    return text


def _names(text: str) -> tuple[str, ...]:
    names = tuple(plain_text(name.strip()) for name in text.split(","))
    if not all(names):
        raise ValueError("must be a name, or several with commas between")
    return names


def audience_names(text: str) -> tuple[str, ...]:
    """Parse the audiences of access tokens, each as RFC 8707 has a resource: without a fragment."""
    names = _names(text)
    if any(" " in name or "#" in name or len(name) > _LONGEST_NAME for name in names):
        raise ValueError(
            f"must be names or URLs with commas between, each of at most {_LONGEST_NAME}"
            " characters, without blanks and #"
        )
    if len(names) > _MOST_NAMES or len(set(names)) < len(names):
        raise ValueError(f"must be at most {_MOST_NAMES} names or URLs, none of them twice")
    return names


_LONGEST_NAME, _MOST_NAMES = 255, 64


def label(text: str) -> str:
    """Parse what stands before the account's name in an `otpauth://` URL."""
    if ":" in text:  # it separates issuer and account in an otpauth:// URL
        raise ValueError("must be text without a colon")
    return plain_text(text)


def issuer_name(text: str) -> str:
    """Parse whose tokens they are: any text, but no URL with a host that none can be."""
    try:
        urlsplit(text)
    except ValueError:
        raise ValueError("must be a text, or a URL whose host can be one") from None
    return plain_text(text)


def url(*schemes: str) -> Callable[[str], Secret]:
    """Parse a URL with one of these beginnings; who connects reads the rest of it."""

    def parse(text: str) -> Secret:
        if not text.startswith(schemes):
            *others, last = schemes
            raise ValueError(f"must begin with {', '.join(others)} or {last}")
        return Secret(text)

    return parse


def page(text: str) -> str:
    """Parse the URL of a page to which links go, with their token in its fragment."""
    if not is_web_address(plain_text(text)) or "#" in text:
        raise ValueError(_PAGE)
    return text


_PAGE = "must be the URL of a page, https unless on loopback, without a fragment"


def is_web_address(text: str) -> bool:
    """Tell whether a text is an https address, or an http one on loopback, and nothing odd."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or " " in text or "@" in parts.netloc or port == 0:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by its name (RFC 6761, section 6.3) or by number."""
    if host.lower().removesuffix(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def webhooks(text: str) -> tuple[str, ...]:
    """Parse the URLs of webhooks; who calls them reads the rest of each."""
    urls = _names(text)
    for each in urls:
        try:
            parts = urlsplit(each)
            fits = parts.scheme in ("https", "http") and parts.hostname and parts.port != 0
        except ValueError:
            raise ValueError(_WEBHOOKS) from None
        if not fits or "#" in each or "@" in parts.netloc or not each.isascii() or " " in each:
            raise ValueError(_WEBHOOKS)
    if len(set(urls)) < len(urls):
        raise ValueError("must be URLs of which none is named twice")
    return urls


_WEBHOOKS = "must be https:// URLs with commas between, without user, password and fragment"


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(","))
    except ValueError:
        raise ValueError(
            "must be networks separated by commas, such as 10.0.0.0/8,fd00::/8"
        ) from None


_BY_TYPE: dict[Any, Parser] = {
    bool: switch,
    str: plain_text,
    timedelta: _seconds,
    Path: path,
    Path | None: path,
    Secret: Secret,
    Rate: _rate,
    tuple[str, ...]: _names,
    tuple[Network, ...]: _networks,
}
