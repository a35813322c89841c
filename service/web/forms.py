"""Forms and queries whose fields are read by name (`application/x-www-form-urlencoded`)."""

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

from service.web.errors import UnsupportedMediaType
from service.web.requests import JsonRequest, headers_of

_FORM = b"application/x-www-form-urlencoded"
_MOST_FIELDS = 50


async def form_of(request: JsonRequest) -> bytes:
    """Read a body that must be a form."""
    media_type = headers_of(request.scope).get(b"content-type", b"").partition(b";")[0]
    if media_type.strip().lower() != _FORM:
        raise UnsupportedMediaType
    return await request.body()


def fields_of(encoded: bytes, names: Sequence[str]) -> Mapping[str, str] | None:
    """Read these fields of a query or form; `None` where one is there twice, or nothing is read.

    RFC 6749, section 3.1: none comes more than once.
    """
    try:
        pairs = parse_qsl(
            encoded.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        return None
    found = [(name, value) for name, value in pairs if name in names]
    fields = dict(found)
    return fields if len(fields) == len(found) else None
