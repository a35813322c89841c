"""What a browser finds at `/`: where it is, and where to go. Programs find nothing there."""

from html import escape

from litestar import Request, get
from litestar.datastructures import State
from litestar.enums import MediaType
from litestar.exceptions import NotFoundException

from service.web.authentication import PUBLIC
from service.web.requests import headers_of
from service.web.routes.bodies import NO_STORE

_KEY = "front_page"

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


def state(app_name: str, root_path: str, *, has_pages: bool, shows_schema: bool) -> State:
    """Make the app state with the page."""
    links = ""
    if has_pages:
        links += f'<p><a href="{root_path}/account">Your account</a></p>'
    if shows_schema:
        links += f'<p><a href="{root_path}/schema">The API</a></p>'
    name = escape(app_name)
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>'
        '<meta name="viewport" content="width=device-width">'
        '<meta name="color-scheme" content="light dark"><meta name="robots" content="noindex">'
        f"<h1>{name}</h1><p>This is where people sign in to {name}.</p>{links}</html>\n"
    )
    return State({_KEY: page.encode()})


@get(
    "/",
    opt=PUBLIC,
    media_type=MediaType.HTML,
    response_headers=_HEADERS | NO_STORE,
    include_in_schema=False,
)
async def front_page(request: Request[object, object, State]) -> bytes:
    """Tell a browser where it is.

    Raises:
        NotFoundException: whoever asks does not want a page.
    """
    if b"text/html" not in headers_of(request.scope).get(b"accept", b""):
        raise NotFoundException
    page: bytes = request.app.state[_KEY]
    return page


ROUTES = [front_page]
