"""The routes of the page as they are on the wire; no browser is needed for this."""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from tools.testbed.service_process import Person, ServiceProcess, code_of, sign_up

from tests.pages.conftest import ROOT
from tests.web.wire import Wire, error_of

URL = "otpauth://totp/OpenShow:ada?secret=ABCDEFGHIJKLMNOPQRSTUVWXYZ234567&issuer=OpenShow"
SCRIPTS = (
    "account",
    "api",
    "client",
    "forms",
    "providers",
    "screens",
    "second_factor",
    "sessions",
    "signing_in",
)


@pytest.fixture
async def http(pages: ServiceProcess) -> AsyncIterator[httpx.AsyncClient]:
    """The service with its page."""
    async with httpx.AsyncClient(base_url=pages.url) as client:
        yield client


@pytest.fixture
async def person(http: httpx.AsyncClient) -> Person:
    return await sign_up(http)


async def draw(person: Person, url: object) -> httpx.Response:
    return await person.client.post("/account/qr", json={"otpauthUrl": url}, headers=person.bearer)


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/account", "text/html; charset=utf-8"),
        ("/account/account.css", "text/css; charset=utf-8"),
        ("/account/icon.svg", "image/svg+xml"),
        *((f"/account/{name}.js", "text/javascript; charset=utf-8") for name in SCRIPTS),
    ],
)
async def test_files_and_their_headers(http: httpx.AsyncClient, path: str, media_type: str) -> None:
    """Each with its type, the strict policy, and no stale copy; the page itself is not kept."""
    answer = await http.get(path)
    assert answer.status_code == 200
    headers = answer.headers
    assert headers["content-type"] == media_type
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cache-control"] == ("no-store" if path == "/account" else "no-cache")
    if path != "/account":
        known = await http.get(path, headers={"If-None-Match": headers["etag"]})
        assert (known.status_code, known.content) == (304, b"")
        other = await http.get(path, headers={"If-None-Match": '"other"'})
        assert other.status_code == 200
    head = await http.head(path)
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/account/account.html",
        "/account/nothing.js",
        "/account/..%2Fapp.py",
        "/account/%2e%2e%2froutes.py",
        "/account/__init__.py",
        "/account/static",
        "/account/account.js/",
        "/account//",
        "/account/%61ccount.js",
        "/accounts",
    ],
)
def test_nothing_else_is_served(pages: ServiceProcess, path: str) -> None:
    """Not the file behind the page, no way out of the folder, no listing."""
    answer = Wire(pages.url).ask(f"GET {path}")
    assert (answer.status_code, error_of(answer)) == (404, "not_found")


def test_a_slash_too_many_leads_to_the_page(pages: ServiceProcess) -> None:
    """People type it. With a query too; but not for a method that the page does not have."""
    wire = Wire(pages.url)
    for line in ("GET /account/", "HEAD /account/", "GET /account/?from=mail"):
        answer = wire.ask(line)
        assert (answer.status_code, answer.headers["location"]) == (308, f"{ROOT}/account")
        assert (answer.content, len(answer.headers["x-request-id"])) == (b"", 16)
    assert wire.ask("POST /account/").status_code == 404


async def test_the_qr_code_is_drawn_for_the_caller_only(
    http: httpx.AsyncClient, person: Person
) -> None:
    """An SVG that is not kept; without a token, or with one of an ended session, 401."""
    answer = await draw(person, URL)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.text.startswith("<svg ")
    assert "ABCDEFGH" not in answer.text
    anonymous = await http.post("/account/qr", json={"otpauthUrl": URL})
    assert code_of(anonymous) == (401, "unauthorized")
    assert code_of(await http.get("/account/qr")) == (405, "method_not_allowed")
    await person.log_out()
    for url in (URL, "no such URL", 7):
        assert code_of(await draw(person, url)) == (401, "unauthorized")


@pytest.mark.parametrize(
    "url",
    [
        None,
        7,
        "",
        "https://example.com/?secret=A",
        "OTPAUTH://totp/a",
        " " + URL,
        URL + "é",
        URL + "\n",
        URL + "A" * (1_025 - len(URL)),
        URL + "A" * (2_890 - len(URL)),
        URL + "A" * 2_900,
        URL + "A" * 60_000,
    ],
)
async def test_only_an_otpauth_url_is_drawn(person: Person, url: object) -> None:
    """Anything else is refused by the field's name, without its value."""
    answer = await draw(person, url)
    assert code_of(answer) == (400, "bad_request")
    assert answer.json()["error"]["details"][0]["field"] == "otpauthUrl"
    assert "secret=" not in answer.text


async def test_the_longest_url_fits(person: Person) -> None:
    """What the check lets through, the largest QR code holds."""
    answer = await draw(person, URL + "%" * (1_024 - len(URL)))
    assert answer.status_code == 200


async def test_drawing_delays_nobody(http: httpx.AsyncClient, person: Person) -> None:
    """While many draw the largest codes, and some are told to wait, others are answered at once."""
    longest = URL + "%" * (1_024 - len(URL))

    async def draw_ten() -> list[int]:
        return [(await draw(person, longest)).status_code for _ in range(10)]

    drawing = [asyncio.create_task(draw_ten()) for _ in range(30)]
    took = []
    async with httpx.AsyncClient(base_url=http.base_url) as other:
        while not all(task.done() for task in drawing) and len(took) < 200:
            began = time.monotonic()
            assert (await other.get("/health/live")).status_code == 200
            took.append(time.monotonic() - began)
            await asyncio.sleep(0.01)
    statuses = [status for task in drawing for status in await task]
    assert set(statuses) <= {200, 503}
    assert 503 in statuses
    assert sorted(took)[len(took) // 4] < 0.1  # behind the drawings, each would take 0.3 s


async def test_the_api_is_described_without_the_page(http: httpx.AsyncClient) -> None:
    """The page is for people; programs do not build on it."""
    assert '"/account' not in (await http.get("/schema/openapi.json")).text


@pytest.mark.parametrize("redis_server", ["valkey"], indirect=True)
@pytest.mark.parametrize(
    "line", ["GET /account", "GET /account/account.js", "POST /account/qr", "GET /account/qr"]
)
def test_off_there_is_no_page(service: ServiceProcess, line: str) -> None:
    """Off is the default: nothing at any of its addresses."""
    answer = Wire(service.url).ask(line, "Content-Length: 0")
    assert (answer.status_code, error_of(answer)) == (404, "not_found")
