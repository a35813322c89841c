"""A page of the OpenAPI document for people: Swagger UI, with all its files served from here."""

import functools
from html import escape

from swagger_ui_bundle import swagger_ui_path

from service.web.static_files import StaticFile, static_file

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

_OF_PACKAGE = ("swagger-ui.css", "swagger-ui-bundle.js")


@functools.cache
def files() -> dict[str, StaticFile]:
    """Return the files that the page loads, by name. They are read when somebody asks first."""
    contents = {name: (swagger_ui_path / name).read_bytes() for name in _OF_PACKAGE}
    contents["page.js"] = _SETUP
    return {name: static_file(name, content) for name, content in contents.items()}


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
