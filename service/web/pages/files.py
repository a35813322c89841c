"""The files of the page, read once at the start, each with the headers that it is served with."""

from pathlib import Path

from service.web.static_files import static_file

_FOLDER = Path(__file__).parent / "static"
_CLIENT = Path(__file__).parent / "client/client.js"  # a package of its own, which apps install

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
    "Cross-Origin-Opener-Policy": "same-origin",  # no page that has opened this one leads it about
}
"""The headers of every answer of the page."""

PAGE = "account.html"

PASSWORD_MIN = b"{{password_min}}"
"""What stands in the page for the length of the shortest password."""

MAIL = b"{{mail}}"
"""What stands there for whether mail is on."""


FILES = {
    path.name: static_file(path.name, path.read_bytes())
    for path in (*sorted(_FOLDER.iterdir()), _CLIENT)
}
"""Every file by its name. What is not in here is not served."""
