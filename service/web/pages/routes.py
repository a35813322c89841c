"""The routes of the page. They are there with `SERVICE_PAGES=on`, and no part of the API.

All that the page does goes through the API, but for the QR code: that is drawn here, so that the
secret in it travels in a body, as it came, and never in an address.
"""

import io
from typing import Any

import segno
from litestar import Request, Response, get, post
from litestar.exceptions import NotFoundException

from service.errors import InvalidField
from service.web.pages.files import FILES, HEADERS, PAGE
from service.web.requests import JsonRequest, headers_of
from service.web.routes.bodies import AUTHENTICATED, NO_STORE, Body
from service.web.services import services_of

_MOST_CHARACTERS = 2_900
"""About what fits into the largest QR code."""

_FRESH = {"Cache-Control": "no-cache"}
"""A browser asks each time whether its copy still holds: no page with the script of another."""


class QrBody(Body, frozen=True):
    """The `otpauthUrl` of a pending enrolment."""

    otpauth_url: str


@get("/account", response_headers=HEADERS | NO_STORE, include_in_schema=False)
async def page() -> Response[bytes]:
    """The page itself. It is the same for everybody."""
    return Response(FILES[PAGE].content, media_type=FILES[PAGE].media_type)


@get("/account/{name:str}", response_headers=HEADERS | _FRESH, include_in_schema=False)
async def file(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
    """Script, style and icon, each known by name.

    Raises:
        NotFoundException: there is no such file.
    """
    found = FILES.get(name)
    if found is None or name == PAGE:
        raise NotFoundException
    headers = {"ETag": found.tag}
    if headers_of(request.scope).get(b"if-none-match", b"").decode("latin-1") == found.tag:
        return Response(b"", status_code=304, headers=headers, media_type=found.media_type)
    return Response(found.content, headers=headers, media_type=found.media_type)


@post(
    "/account/qr",
    opt=AUTHENTICATED,
    status_code=200,
    response_headers=HEADERS | NO_STORE,
    include_in_schema=False,
)
async def qr_code(request: JsonRequest, data: QrBody) -> Response[bytes]:
    """Draw a QR code as SVG.

    Raises:
        InvalidField: not an `otpauth://` URL, or one that no QR code can hold.
    """
    await services_of(request.app).sessions.current(request.user)
    return Response(_drawn(data.otpauth_url), media_type="image/svg+xml")


def _drawn(url: str) -> bytes:
    fits = len(url) <= _MOST_CHARACTERS
    if not (fits and url.isascii() and url.isprintable() and url.startswith("otpauth://")):
        raise InvalidField("otpauthUrl", "The field otpauthUrl must be the URL that enable gave.")
    # The least correction asked for gives the largest modules; what room is left, it goes into.
    code = segno.make(url, error="l", micro=False)
    # Black on white with its quiet zone, whatever colours the page has: scanners want it so.
    drawn = io.BytesIO()
    code.save(drawn, kind="svg", xmldecl=False, omitsize=True, dark="#000", light="#fff")
    return drawn.getvalue()


ROUTES = [page, file, qr_code]
