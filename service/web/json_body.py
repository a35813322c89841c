"""JSON bodies: decoded strictly into structs, and refused in words that never quote a value."""

import functools
import re
from typing import Any

import msgspec

from service.errors import InvalidField

_MISSING = re.compile(r"missing required field `(?P<name>[^`]+)`")
_EXPECTED = re.compile(r"Expected `(?P<kinds>[^`]+)`")
_PLACE = re.compile(r" - at `\$\.(?P<name>[^`]+)`$")

_LONGEST_MEDIA_TYPE = 256  # characters; what is longer is none of ours, and not kept

_WORDS = {"str": "a string", "bool": "true or false", "object": "a JSON object"}


def decode(body: bytes, form: Any) -> Any:
    """Decode `body` as a struct of type `form`. Of a key given twice, the last counts.

    Raises:
        InvalidField: it is not JSON, or of another form; names the field, `body` for the whole.
    """
    try:
        return _decoder(form).decode(body.decode())
    except msgspec.ValidationError as error:
        field, message = _explain(str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        field, message = "body", "The body is not valid JSON."
    raise InvalidField(field, message)  # out here: nothing that quotes the body is its context


@functools.cache
def _decoder(form: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(form)


def _explain(message: str) -> tuple[str, str]:
    """Turn a message of msgspec's into a field and a message for people."""
    if missing := _MISSING.search(message):
        return missing["name"], f"The field {missing['name']} is required."
    place, expected = _PLACE.search(message), _EXPECTED.match(message)
    field = place["name"] if place else "body"
    subject = f"The field {field}" if place else "The body"
    if not expected:
        return field, f"{subject} cannot be read."
    kinds = (_WORDS.get(kind, kind) for kind in expected["kinds"].split(" | "))
    return field, f"{subject} must be {' or '.join(kinds)}."


def is_json(content_type: bytes | None) -> bool:
    """Tell whether a media type, if one is given, is that of JSON."""
    if content_type is not None and len(content_type) > _LONGEST_MEDIA_TYPE:
        return False
    return _names_json(content_type)


@functools.lru_cache(maxsize=64)
def _names_json(content_type: bytes | None) -> bool:
    media_type = (content_type or b"").partition(b";")[0].strip().lower()
    return media_type in (b"", b"application/json") or (
        media_type.startswith(b"application/") and media_type.endswith(b"+json")
    )
