"""Checks what headers may hold, joins those that come more than once, and names those we add."""

import functools
import re
from collections.abc import Iterable, Sequence
from typing import Any

from litestar.types import HTTPScope

Header = tuple[bytes, bytes]

HEADERS = "openshow.headers"
"""The name in the state of a request's scope of its fields by name, several of one joined."""

NOSNIFF: Header = b"x-content-type-options", b"nosniff"
"""On every answer: what we say that a body is, it is."""

_HOST = re.compile(  # uri-host [ ":" port ], RFC 3986, section 3.2.2
    rb"(?:\[(?:[0-9A-Fa-f:.]{2,45}|[vV][0-9A-Fa-f]+\.[\w.~!$&'()*+,;=:-]+)\]"
    rb"|[\w.~!$&'()*+,;=-]*(?:%[0-9A-Fa-f]{2}[\w.~!$&'()*+,;=-]*)*)(?::[0-9]*)?"
)
_LONGEST_HOST = 512  # bytes, twice what a name in DNS and a port need


def is_host(value: bytes) -> bool:
    """Tell whether it may be the value of `Host`, empty for a target without an authority."""
    return len(value) <= _LONGEST_HOST and _is_host(value)


@functools.lru_cache(maxsize=64)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


def by_name(fields: Sequence[Header]) -> dict[bytes, bytes]:
    """Return the values of these fields by name, several of one name joined."""
    values = dict(fields)
    return values if len(values) == len(fields) else joined(fields)


def named_in(scope: HTTPScope) -> dict[bytes, bytes]:
    """Return the fields of a request by name, several of one name joined, and keep them in its
    state: our server has them there already, others do not."""
    state: dict[str, Any] = scope["state"]
    fields: dict[bytes, bytes] | None = state.get(HEADERS)
    if fields is None:
        fields = state[HEADERS] = by_name([(name, value) for name, value in scope["headers"]])
    return fields


def joined(fields: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Join several values of one name (RFC 9110, section 5.3; RFC 9113, section 8.2.3).

    What may be there only once, such as a credential or a media type, is none any more then.
    """
    values: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        values.setdefault(name, []).append(value)
    return {
        name: (b"; " if name == b"cookie" else b", ").join(several)
        for name, several in values.items()
    }
