"""Routes that are served past Litestar: whatever is sent, the answer is the one Litestar gives."""

from typing import Any

import pytest
from litestar import Litestar, Response, delete, get, post
from litestar.datastructures import State
from litestar.types import ASGIApp

from service.errors import InvalidAccessToken, InvalidCode, StoreUnavailable
from service.web.authentication import PUBLIC, authenticate
from service.web.direct import DirectRoutes
from service.web.errors import HANDLERS
from service.web.limits import BODY_LIMIT
from service.web.middleware import RequestMiddleware
from service.web.requests import JsonRequest
from service.web.responses import RouteResponse, add_headers
from service.web.routes.bodies import NO_STORE, Body
from service.web.routes.sessions import LogoutBody

# Litestar says so of every handler with a `data`, once a process.
pytestmark = pytest.mark.filterwarnings("ignore::litestar.exceptions.LitestarDeprecationWarning")


class NoTokens:
    """Services whose access tokens nobody has."""

    class access_tokens:  # noqa: N801  an attribute
        @staticmethod
        def verify(_: str) -> None:
            raise InvalidAccessToken


class Told(Body, frozen=True):
    """What was understood."""

    refresh_token: str | None


@post("/told", opt=PUBLIC, status_code=200, response_headers=NO_STORE)
async def told(request: JsonRequest, data: LogoutBody) -> Told:
    """Say what was sent."""
    if data.refresh_token == "a defect":
        raise ZeroDivisionError
    if data.refresh_token == "away":
        raise StoreUnavailable("away")
    if data.refresh_token == "wrong":
        raise InvalidCode
    add_headers(request, {"X-Added": "1", "cache-control": "private"})
    return Told(data.refresh_token)


@post("/nothing", opt=PUBLIC, status_code=204)
async def nothing(request: JsonRequest) -> None:
    """Answer nothing."""


@get("/private", response_headers=NO_STORE)
async def private(request: JsonRequest) -> Told:
    """Never get here: nobody has a token."""
    raise AssertionError


HANDLERS_HERE = [told, nothing, private]


def made(handlers: list[Any], before_request: Any = authenticate) -> Litestar:
    """An app as ours is made."""
    return Litestar(
        handlers,
        before_request=before_request,
        request_class=JsonRequest,
        response_class=RouteResponse,
        exception_handlers=HANDLERS,
        openapi_config=None,
        logging_config=None,
        state=State({"services": NoTokens()}),
    )


@pytest.fixture
def app() -> Litestar:
    return made(HANDLERS_HERE)


async def answer_of(app: ASGIApp, method: str, path: str, body: bytes, **headers: str) -> Any:
    """Status, headers by name, body; but for the id of the request, which is another each time."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope: Any = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "headers": [(b"host", b"x"), (b"x-request-id", b"one"), *fields],
        "state": {},
    }
    await RequestMiddleware(app)(scope, receive, send)
    start, last = sent
    route, failure = scope.get("path_template"), scope["state"].get("failure")
    return start["status"], dict(start["headers"]), last["body"], route, failure


@pytest.mark.parametrize(
    ("method", "path", "body", "headers"),
    [
        ("POST", "/told", b'{"refreshToken": "x"}', {}),
        ("POST", "/told", b"", {}),
        ("POST", "/told", b"null", {}),
        ("POST", "/told", b"[]", {}),
        ("POST", "/told", b'{"refreshToken": 1}', {}),
        ("POST", "/told", b"{", {}),
        ("POST", "/told", b"\xff", {}),
        ("POST", "/told", b'{"refreshToken": "a defect"}', {}),
        ("POST", "/told", b'{"refreshToken": "away"}', {}),
        ("POST", "/told", b'{"refreshToken": "wrong"}', {}),
        ("POST", "/told", b"{}", {"content_type": "text/plain"}),
        ("POST", "/told", b" " * (BODY_LIMIT + 1), {}),
        ("POST", "/told", b"", {"content_length": str(BODY_LIMIT + 1)}),
        ("POST", "/nothing", b"", {}),
        ("GET", "/told", b"", {}),
        ("OPTIONS", "/told", b"", {}),
        ("GET", "/private", b"", {}),
        ("HEAD", "/private", b"", {}),
        ("GET", "/private", b"", {"authorization": "Bearer x, y"}),
        ("GET", "/elsewhere", b"", {}),
    ],
)
async def test_the_same_answer(
    app: Litestar, method: str, path: str, body: bytes, headers: dict[str, str]
) -> None:
    """Status, headers, body, the route and the failure in the log: all as through Litestar."""
    direct = DirectRoutes(app, HANDLERS_HERE)
    found = await answer_of(direct, method, path, body, **headers)
    assert found == await answer_of(app, method, path, body, **headers)


async def test_it_is_past_litestar(app: Litestar, monkeypatch: pytest.MonkeyPatch) -> None:
    """A direct route asks nothing of Litestar, and any other does."""
    direct = DirectRoutes(app, [nothing])
    monkeypatch.setattr(app, "asgi_handler", None)
    assert (await answer_of(direct, "POST", "/nothing", b""))[0] == 204
    assert (await answer_of(direct, "POST", "/told", b"{}"))[0] == 500


@delete("/by-id/{id:str}", opt=PUBLIC)
async def by_id(request: JsonRequest, id: str) -> None:
    """Take a parameter."""


@get("/asking", opt=PUBLIC)
async def asking(request: JsonRequest, page: int) -> Told:
    """Take one of the query."""
    return Told(str(page))


@get("/response", opt=PUBLIC, media_type="text/html")
async def page_of(request: JsonRequest) -> Response[str]:
    """Answer in a form of its own."""
    return Response("")


@pytest.mark.parametrize("handler", [by_id, asking, page_of])
def test_what_asks_for_more(handler: Any) -> None:
    """What is not done here is refused at the start, not left out."""
    app = Litestar(
        [handler], before_request=authenticate, request_class=JsonRequest, openapi_config=None
    )
    with pytest.raises(ValueError, match="no route to be served directly"):
        DirectRoutes(app, [handler])


def test_routes_that_check_no_token() -> None:
    """A handler whose token nobody asks for is none either."""
    with pytest.raises(ValueError, match="/nothing is no route"):
        DirectRoutes(made([nothing], before_request=None), [nothing])
