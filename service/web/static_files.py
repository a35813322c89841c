"""Files that pages load: each with its ETag, and an answer to the browser that has it already."""

import hashlib

import msgspec
from litestar import Response
from litestar.exceptions import NotFoundException

from service.web.requests import JsonRequest, headers_of

_MEDIA_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}

FRESH = {"Cache-Control": "no-cache"}
"""A browser asks each time whether its copy still holds: no page with the script of another."""


class StaticFile(msgspec.Struct, frozen=True):
    """A file, ready to be sent. `tag` is its ETag (RFC 9110, section 8.8.3).

    Litestar adds the charset to the media type of a text.
    """

    content: bytes
    media_type: str
    tag: str


def static_file(name: str, content: bytes) -> StaticFile:
    """Prepare a file, whose media type its `name` tells."""
    digest = hashlib.sha256(content).hexdigest()[:32]
    return StaticFile(content, _MEDIA_TYPES[name[name.rindex(".") :]], f'"{digest}"')


def answer_with(request: JsonRequest, found: StaticFile | None) -> Response[bytes]:
    """Answer with a file, or that the copy of whoever asks still holds.

    Raises:
        NotFoundException: there is no such file.
    """
    if found is None:
        raise NotFoundException
    headers, status, content = {"ETag": found.tag}, 200, found.content
    if headers_of(request.scope).get(b"if-none-match", b"").decode("latin-1") == found.tag:
        status, content = 304, b""
    return Response(content, status_code=status, headers=headers, media_type=found.media_type)
