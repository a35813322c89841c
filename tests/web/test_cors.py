"""Pages of other origins: those that are allowed read every answer, all others none."""

from collections.abc import Iterator

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PATIENT, ServiceProcess, sign_up

from tests.support.living import lend
from tests.web.wire import Wire, error_of

APP, OTHER = "https://app.example", "http://localhost:5173"
EXPOSED = "X-Request-Id, Retry-After, WWW-Authenticate, Preference-Applied, Guards-Confirmed"
ASKED = "Authorization, Content-Type, Prefer, X-Request-Id, X-Session-Mode"


@pytest.fixture(scope="module")
def shared(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    settings = {"SERVICE_ORIGINS": f"{APP}, {OTHER}"}
    service = ServiceProcess(
        tmp_path_factory.mktemp("cors"), redis_server.url, **settings, **PATIENT
    )
    yield from lend("shared", service)


@pytest.fixture
def wire(shared: ServiceProcess, keys: RedisServer) -> Wire:
    return Wire(shared.url)


def of_cors(answer: httpx.Response) -> dict[str, str]:
    """What the answer says about origins, but for Vary, which is always there."""
    assert answer.headers.get_list("vary") == ["Origin"]
    return {n: v for n, v in answer.headers.items() if n.startswith("access-control-")}


def allowed(origin: str) -> dict[str, str]:
    return {"access-control-allow-origin": origin, "access-control-expose-headers": EXPOSED}


@pytest.mark.parametrize("origin", [APP, OTHER])
@pytest.mark.parametrize("path", ["/auth/login", "/auth/sessions/abc", "/nothing/here"])
def test_a_preflight(wire: Wire, origin: str, path: str) -> None:
    """204 for ten minutes, whatever is there: the call itself then says so to the page."""
    answer = wire.ask(
        f"OPTIONS {path}",
        f"Origin: {origin}",
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Headers: authorization,content-type",
    )
    assert (answer.status_code, answer.content) == (204, b"")
    assert of_cors(answer) == {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": "DELETE, GET, POST",
        "access-control-allow-headers": ASKED,
        "access-control-max-age": "600",
    }
    assert answer.headers["x-request-id"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "origin",
    [
        (), ("null",), ("*",), ("https://app.example.evil",), ("https://app.example:443",),
        ("http://app.example",), ("https://APP.example",), ("https://app.example/",),
        ("https://evil.app.example",), (APP, APP), (APP, "https://evil.example"), ("",),
    ],
)  # fmt: skip
def test_any_other_origin_gets_nothing(wire: Wire, origin: tuple[str, ...]) -> None:
    """Neither at a preflight, nor at an answer, nor at an error; and caches are told."""
    headers = [f"Origin: {name}" for name in origin]
    preflight = wire.ask("OPTIONS /auth/me", *headers, "Access-Control-Request-Method: GET")
    assert of_cors(preflight) == {}
    assert preflight.headers["allow"] == "GET, HEAD, OPTIONS"
    for line in ("GET /health/live", "GET /auth/me", "GET /nothing", "POST /health/live"):
        assert of_cors(wire.ask(line, *headers)) == {}


@pytest.mark.parametrize(
    ("line", "headers", "body", "status"),
    [
        ("GET /health/live", (), b"", 200),
        ("GET /.well-known/jwks.json", (), b"", 200),
        ("HEAD /health/live", (), b"", 200),
        ("OPTIONS /auth/me", (), b"", 204),  # no preflight: it asks for no method
        ("GET /auth/me", (), b"", 401),
        ("GET /nothing", (), b"", 404),
        ("GET /auth//me", (), b"", 404),
        ("PUT /auth/me", (), b"", 405),
        ("POST /auth/login", ("Content-Length: 1",), b"{", 400),
        ("POST /auth/login", ("Content-Type: text/plain", "Content-Length: 2"), b"{}", 415),
        ("POST /auth/login", ("Content-Length: 65537",), b"", 413),
        (f"GET /auth/me?{'x' * 1025}", (), b"", 414),
        ("GET /auth/me", tuple(f"A{n}: b" for n in range(101)), b"", 431),
        ("GET /auth/me", ("Host: other",), b"", 400),  # the protocol refuses it by itself
        ("POST /auth/login", ("Transfer-Encoding: chunked",), b"no chunk\r\n", 400),
        ("POST /auth/login", ("Transfer-Encoding: gzip",), b"", 400),
    ],
)  # fmt: skip
def test_every_answer_can_be_read(
    wire: Wire, line: str, headers: tuple[str, ...], body: bytes, status: int
) -> None:
    """Errors too, whoever answers them: route, framework, outermost layer or protocol."""
    answer = wire.ask(line, f"Origin: {APP}", *headers, body=body)
    assert answer.status_code == status
    assert of_cors(answer) == allowed(APP)
    if status >= 400:
        assert error_of(answer)


async def test_people_call_from_there(shared: ServiceProcess, keys: RedisServer) -> None:
    """Signing up and a wrong password, as a browser sends them."""
    async with httpx.AsyncClient(base_url=shared.url, headers={"Origin": OTHER}) as client:
        person = await sign_up(client)
        me = await client.get("/auth/me", headers=person.bearer)
        assert (me.status_code, of_cors(me)) == (200, allowed(OTHER))
        wrong = await client.post("/auth/login", json={"email": person.email, "password": "wrong"})
        assert (error_of(wrong), of_cors(wrong)) == ("invalid_credentials", allowed(OTHER))


def test_off_by_default(service: ServiceProcess) -> None:
    """No header at all, not even Vary."""
    wire = Wire(service.url)
    preflight = ["Access-Control-Request-Method: GET", f"Origin: {APP}"]
    for answer in (
        wire.ask("OPTIONS /auth/me", *preflight),
        wire.ask("GET /nothing", f"Origin: {APP}"),
        wire.ask("GET /auth/me", f"Origin: {APP}", "Host: other"),
    ):
        assert not [n for n in answer.headers if n.startswith("access-control") or n == "vary"]
