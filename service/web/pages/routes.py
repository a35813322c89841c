"""The routes of the page. They are there with `SERVICE_PAGES=on`, and no part of the API.

All that the page does goes through the API, but for the QR code: that is drawn here, so that the
secret in it travels in a body, as it came, and never in an address.
"""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor

import segno
from litestar import Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody

from service.errors import InvalidField, Overloaded
from service.web.authentication import PUBLIC
from service.web.pages.files import FILES, HEADERS, MAIL, PAGE, PASSWORD_MIN
from service.web.requests import JsonRequest
from service.web.routes.bodies import NO_STORE, Body
from service.web.services import services_of
from service.web.static_files import FRESH, answer_with

_KEY = "account_page"

_MOST_CHARACTERS = 1_024
"""Far more than an address and an issuer take; a code of more is too fine for most screens."""

_MOST_WAITING = 16
"""Codes that wait to be drawn; each takes some milliseconds."""

_MASK = 3
"""The one of the eight patterns that is laid over each code. Any will do, and to find out which one
is a little better takes most of the time."""


class QrBody(Body, frozen=True):
    """The `otpauthUrl` of a pending enrolment."""

    otpauth_url: str


def state(password_min: int, *, has_mail: bool) -> State:
    """Make the app state with the page. It is the same for everybody."""
    content = FILES[PAGE].content.replace(PASSWORD_MIN, b"%d" % password_min)
    return State({_KEY: content.replace(MAIL, b"on" if has_mail else b"off")})


@get("/account", opt=PUBLIC, response_headers=HEADERS | NO_STORE, include_in_schema=False)
async def page(request: JsonRequest) -> Response[bytes]:
    """Serve the account page."""
    return Response(request.app.state[_KEY], media_type=FILES[PAGE].media_type)


@get("/account/{name:str}", opt=PUBLIC, response_headers=HEADERS | FRESH, include_in_schema=False)
async def file(request: JsonRequest, name: FromPath[str]) -> Response[bytes]:
    """Serve script, style and icon, each known by name.

    Raises:
        NotFoundException: there is no such file.
    """
    return answer_with(request, FILES.get(name) if name != PAGE else None)


@post(
    "/account/qr",
    status_code=200,
    response_headers=HEADERS | NO_STORE,
    include_in_schema=False,
)
async def qr_code(request: JsonRequest, data: JSONBody[QrBody]) -> Response[bytes]:
    """Draw a QR code as SVG.

    Raises:
        InvalidField: not an `otpauth://` URL, or one that is longer than any of ours.
        Overloaded: too many codes are being drawn.
    """
    await services_of(request.app).sessions.current(request.user)
    url = data.otpauth_url
    fits = len(url) <= _MOST_CHARACTERS
    if not (fits and url.isascii() and url.isprintable() and url.startswith("otpauth://")):
        raise InvalidField("otpauthUrl", "The field otpauthUrl must be the URL that enable gave.")
    return Response(await _drawing.draw(url), media_type="image/svg+xml")


class _Drawing:
    """Draws codes one after the other, beside the event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "qr")
        self._waiting = 0

    async def draw(self, url: str) -> bytes:
        if self._waiting >= _MOST_WAITING:
            raise Overloaded(1)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, _drawn, url)
        finally:
            self._waiting -= 1


_drawing = _Drawing()


def _drawn(url: str) -> bytes:
    # The least correction asked for gives the largest modules; what room is left, it goes into.
    code = segno.make(url, error="l", micro=False, mask=_MASK)
    # Black on white with its quiet zone, whatever colours the page has: scanners want it so.
    drawn = io.BytesIO()
    code.save(drawn, kind="svg", xmldecl=False, omitsize=True, dark="#000", light="#fff")
    return drawn.getvalue()


ROUTES = [page, file, qr_code]
