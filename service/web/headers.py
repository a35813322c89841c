"""Headers that come more than once."""

from collections.abc import Iterable


def joined(fields: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The values by name, several of one name joined (RFC 9110, section 5.3; RFC 9113, 8.2.3).

    What may be there only once, such as a credential or a media type, is none any more then.
    """
    values: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        values.setdefault(name, []).append(value)
    return {
        name: (b"; " if name == b"cookie" else b", ").join(several)
        for name, several in values.items()
    }
