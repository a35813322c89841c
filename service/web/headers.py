"""Checks what headers may hold, joins those that come more than once, and names those we add."""

import re
from collections.abc import Iterable

Header = tuple[bytes, bytes]

NOSNIFF: Header = b"x-content-type-options", b"nosniff"
"""On every answer: what we say that a body is, it is."""

_HOST = re.compile(  # uri-host [ ":" port ], RFC 3986, section 3.2.2
    rb"(?:\[(?:[0-9A-Fa-f:.]{2,45}|[vV][0-9A-Fa-f]+\.[\w.~!$&'()*+,;=:-]+)\]"
    rb"|[\w.~!$&'()*+,;=-]*(?:%[0-9A-Fa-f]{2}[\w.~!$&'()*+,;=-]*)*)(?::[0-9]*)?"
)
_LONGEST_HOST = 512  # bytes, twice what a name in DNS and a port need


def is_host(value: bytes) -> bool:
    """Tell whether it may be the value of `Host`, empty for a target without an authority."""
    return len(value) <= _LONGEST_HOST and _HOST.fullmatch(value) is not None


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
