"""The files of the page, read once at the start, each with the headers that it is served with."""

import hashlib
from pathlib import Path

import msgspec

_FOLDER = Path(__file__).parent / "static"
_CLIENT = Path(__file__).parent / "client/client.js"  # a package of its own, which apps install

_MEDIA_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}

_CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "form-action 'none'",  # the script sends what is typed; without it, nothing may
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",  # no text can become markup by mistake
        "trusted-types 'none'",
    )
)

HEADERS = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",
}
"""The headers of every answer of the page."""

PAGE = "account.html"

PASSWORD_MIN = b"{{password_min}}"
"""What stands in the page for the length of the shortest password."""

MAIL = b"{{mail}}"
"""What stands there for whether mail is on."""


class File(msgspec.Struct, frozen=True):
    """A file, ready to be sent. `tag` is its ETag (RFC 9110, section 8.8.3).

    Litestar adds the charset to the media type of a text.
    """

    content: bytes
    media_type: str
    tag: str


def _read(path: Path) -> File:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:32]
    return File(content, _MEDIA_TYPES[path.suffix], f'"{digest}"')


FILES = {path.name: _read(path) for path in (*sorted(_FOLDER.iterdir()), _CLIENT)}
"""Every file by its name. What is not in here is not served."""
