"""A page of the OpenAPI document for people: Swagger UI, with all its files served from here."""

import functools
import hashlib
from html import escape

import msgspec
from swagger_ui_bundle import swagger_ui_path

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # Swagger UI puts styles on what it draws
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Nothing from elsewhere, and no script but the two files."""

_SETUP = b"""SwaggerUIBundle({
  url: "schema/openapi.json",
  dom_id: "#calls",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
"""

_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript"}
_OF_PACKAGE = ("swagger-ui.css", "swagger-ui-bundle.js")


class SchemaFile(msgspec.Struct, frozen=True):
    """A file of the page, ready to be sent. `tag` is its ETag."""

    content: bytes
    media_type: str
    tag: str


@functools.cache
def files() -> dict[str, SchemaFile]:
    """Return the files that the page loads, by name. They are read when somebody asks first."""
    contents = {name: (swagger_ui_path / name).read_bytes() for name in _OF_PACKAGE}
    contents["page.js"] = _SETUP
    return {
        name: SchemaFile(
            content,
            _MEDIA_TYPES[name[name.rindex(".") :]],
            f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        )
        for name, content in contents.items()
    }


def render(title: str) -> bytes:
    """Render the page. Its addresses are relative: it may be under any path."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width">'
        '<link rel="icon" href="data:,"><link rel="stylesheet" href="schema/swagger-ui.css">'
        '<noscript>For programs: <a href="schema/openapi.json">OpenAPI</a>.</noscript>'
        '<div id="calls"></div><script src="schema/swagger-ui-bundle.js"></script>'
        '<script src="schema/page.js"></script></html>\n'
    ).encode()
