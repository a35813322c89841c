"""Under a path (`SERVICE_ROOT_PATH`), with a proxy that takes it off and with one that does not."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from playwright.async_api import expect
from tools.testbed.service_process import ServiceProcess, code_of, sign_up

from tests.pages.conftest import ROOT
from tests.pages.visitor import Visitor
from tests.web.wire import Wire

HTML = {"Accept": "text/html,*/*;q=0.8"}


@pytest.fixture(params=["", ROOT])
async def http(
    pages: ServiceProcess, request: pytest.FixtureRequest
) -> AsyncIterator[httpx.AsyncClient]:
    """The service as a proxy asks that has taken the path off, and as one that has not."""
    async with httpx.AsyncClient(base_url=pages.url + request.param) as client:
        yield client


async def test_all_calls_are_there(http: httpx.AsyncClient) -> None:
    """And the document says where."""
    person = await sign_up(http)
    assert (await person.me()).status_code == 200
    assert (await person.end(person.session_id)).status_code == 204
    document = (await http.get("/schema/openapi.json")).json()
    assert document["servers"] == [{"url": ROOT}]
    assert (await http.get("/.well-known/jwks.json")).status_code == 200


async def test_pages_link_to_where_they_are(http: httpx.AsyncClient) -> None:
    """What a page loads or links to is there, by its address in a browser."""
    for path in ("/account", "/schema"):
        page = await http.get(path)
        found = re.findall(r'(?:src|href)="([^"#:,]+)"', page.text)
        assert len(found) >= 3
        for address in found:
            assert (await http.get(str(page.url.join(address)))).status_code == 200, address
    front = await http.get("/", headers=HTML)
    assert front.status_code == 200
    assert re.findall(r'href="([^"]+)"', front.text) == [f"{ROOT}/account", f"{ROOT}/schema"]
    assert front.headers["content-security-policy"].startswith("default-src 'none'")
    assert "OpenShow" in front.text


def test_the_path_is_taken_off_once(pages: ServiceProcess) -> None:
    """Not twice, not in part, and never before what operators ask the pod itself."""
    wire = Wire(pages.url)
    for path in (
        f"{ROOT}{ROOT}/account",
        f"{ROOT}entity",
        f"{ROOT}//account",
        f"{ROOT}/account//",
        f"{ROOT}/metrics",
        f"{ROOT}/health/ready",
        f"{ROOT}/%61ccount",  # one spelling only, under the path as without it
        f"{ROOT}/%73chema",
        f"{ROOT}%2faccount",
        "/%69d/account",
        "/ID/account",
    ):
        assert wire.ask(f"GET {path}").status_code == 404, path
    for path in (ROOT, f"{ROOT}/", "/"):
        assert wire.ask(f"GET {path}", "Accept: text/html").status_code == 200
        assert code_of(wire.ask(f"GET {path}", "Accept: application/json")) == (404, "not_found")
    assert wire.ask("GET /metrics").status_code == 200
    moved = wire.ask(f"GET {ROOT}/account/")
    assert (moved.status_code, moved.headers["location"]) == (308, f"{ROOT}/account")


@pytest.mark.asyncio(loop_scope="session")
async def test_the_account_page(visitor: Visitor, pages: ServiceProcess) -> None:
    """From the front page on, people sign up, enrol and sign out, all under the path."""
    page = visitor.page
    await page.goto(f"{pages.url}{ROOT}/")
    await page.click("text=Your account")
    assert page.url == f"{pages.url}{ROOT}/account"
    await visitor.sign_up()
    await visitor.begin_enrolment()
    await visitor.sign_out()
    answered = await page.evaluate("performance.getEntriesByType('resource').map(e => e.name)")
    assert len(answered) > 10
    assert all(name.startswith(f"{pages.url}{ROOT}/") for name in answered), answered


@pytest.mark.asyncio(loop_scope="session")
async def test_a_call_is_tried_out(visitor: Visitor, pages: ServiceProcess) -> None:
    """The page of the API shows each call, and asks one, with nothing from elsewhere."""
    page = visitor.page
    await page.goto(f"{pages.url}{ROOT}/schema")
    call = page.locator(".opblock", has_text="/.well-known/jwks.json")
    await call.locator(".opblock-summary-control").click(no_wait_after=True)
    await call.locator("button:text-is('Execute')").click(no_wait_after=True)
    await expect(call.locator(".live-responses-table .response-col_status").last).to_contain_text(
        "200"
    )
    await expect(call.locator(".live-responses-table")).to_contain_text("ES256")
