"""Apps of other origins in a real browser: tokens, cookies, several tabs, and what is refused."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, Response, Route
from tools.testbed.service_process import ServiceProcess
from tools.testbed.waiting import PATIENCE

from tests.pages.app_pages import AppPages
from tests.pages.conftest import ROOT
from tests.pages.visitor import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="session")

BEGIN = """async ([url, mode]) => {
  const { AuthClient } = await import("/client.js");
  window.auth = new AuthClient({ url, mode });
  window.heard = [];
  for (const event of ["expired", "signedout"])
    auth.addEventListener(event, () => heard.push(event));
  return auth.resume();
}"""
SIGN_UP = "credentials => auth.signUp(credentials).then(body => body.refreshToken ?? null)"
ME = 'auth.callSignedIn("GET", "/auth/me").then(answer => answer.body.user.email)'
HEARD = "heard.length && heard"
FAILURE = "({ status, code, message }) => ({ status, code, message })"

OpenTab = Callable[[str, str], Awaitable[Page]]


@pytest_asyncio.fixture(loop_scope="session")
async def profile(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context()
    context.set_default_timeout(PATIENCE * 1000)
    yield context
    await context.close()


@pytest.fixture
def open_tab(profile: BrowserContext, pages: ServiceProcess) -> OpenTab:
    """`await open_tab(origin, mode)`: a page of the app there, with the client in `auth`."""

    async def open_tab(origin: str, mode: str) -> Page:
        page = await profile.new_page()
        await page.goto(origin)
        await page.evaluate(BEGIN, [pages.url + ROOT, mode])
        return page

    return open_tab


async def begin_refresh(tab: Page) -> tuple[asyncio.Task[Any], asyncio.Event]:
    """Begin a refresh that is answered, and whose answer arrives when the event is set."""
    requested, go_on = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        answer = await route.fetch()
        requested.set()
        await go_on.wait()
        await route.fulfill(response=answer)

    await tab.route("**/auth/refresh", hold, times=1)
    refreshed = asyncio.create_task(tab.evaluate(f"auth.refresh().catch({FAILURE})"))
    await requested.wait()
    return refreshed, go_on


def somebody() -> dict[str, str]:
    return {"email": f"{secrets.token_hex(8)}@example.com", "password": PASSWORD}


async def refresh_cookies(profile: BrowserContext) -> list[Any]:
    return [c for c in await profile.cookies() if "openshow_refresh" in c["name"]]


async def test_tabs_share_the_session_of_a_cookie(
    open_tab: OpenTab, app_pages: AppPages, profile: BrowserContext
) -> None:
    """No script sees it; tabs that renew at once go on, two at a time; its end reaches all."""
    person = somebody()
    first = await open_tab(app_pages.same_site, "cookie")
    assert await first.evaluate(SIGN_UP, person) is None
    assert await first.evaluate("document.cookie + JSON.stringify({ ...sessionStorage })") == "{}"
    [cookie] = await refresh_cookies(profile)
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/")
    tabs = [first] + [await open_tab(app_pages.same_site, "cookie") for _ in range(7)]
    assert await tabs[-1].evaluate("auth.isSignedIn")
    renewed: list[Response] = []

    def note(response: Response) -> None:
        if response.url.endswith("/auth/refresh") and response.request.method == "POST":
            renewed.append(response)

    profile.on("response", note)
    # In pairs, and neither is sent before both are on their way: who comes two rotations late is a
    # thief, and what the browser sends with a third is the machine's luck.
    together = asyncio.Barrier(2)

    async def wait_for_both(route: Route) -> None:
        if route.request.method == "POST":
            await together.wait()
        await route.continue_()

    await profile.route("**/auth/refresh", wait_for_both)
    for pair in zip(tabs[::2], tabs[1::2], strict=True):
        await asyncio.gather(*(tab.evaluate("auth.refresh()") for tab in pair))
    await profile.unroute("**/auth/refresh")
    assert [response.status for response in renewed] == [200] * 8
    assert [await tab.evaluate(ME) for tab in tabs] == [person["email"]] * 8
    assert len(await refresh_cookies(profile)) == 1
    await tabs[3].evaluate("auth.logOut()")
    for tab in tabs[:3] + tabs[4:]:
        heard = await tab.wait_for_function(HEARD)
        assert await heard.json_value() == ["signedout"]
    assert await refresh_cookies(profile) == []
    again = await open_tab(app_pages.same_site, "cookie")
    assert await again.evaluate("auth.isSignedIn") is False


async def test_nobody_goes_on_as_who_signs_in_in_another_tab(
    open_tab: OpenTab, app_pages: AppPages
) -> None:
    """The cookie is theirs from then on: the first tab hears that its session is over."""
    first = await open_tab(app_pages.same_site, "cookie")
    await first.evaluate(SIGN_UP, somebody())
    other, person = await open_tab(app_pages.same_site, "cookie"), somebody()
    await other.evaluate(SIGN_UP, person)
    refused = await first.evaluate(f"auth.refresh().catch({FAILURE})")
    assert (refused["status"], refused["code"]) == (401, "invalid_refresh_token")
    assert await first.evaluate("[auth.isSignedIn, heard]") == [False, ["expired"]]
    assert await other.evaluate(ME) == person["email"]
    assert await other.evaluate("auth.refresh().then(() => heard.length)") == 0


@pytest.mark.parametrize("then", ["sign up", "forget"])
async def test_a_refresh_that_comes_late(open_tab: OpenTab, app_pages: AppPages, then: str) -> None:
    """It brings nobody back who has gone meanwhile, nor takes the place of who has come."""
    tab, person = await open_tab(app_pages.same_site, "tokens"), somebody()
    await tab.evaluate(SIGN_UP, somebody())
    late, go_on = await begin_refresh(tab)
    if then == "sign up":
        await tab.evaluate(SIGN_UP, person)
    else:
        await tab.evaluate("auth.forget()")
    go_on.set()
    assert (await late)["code"] == "invalid_refresh_token"
    assert await tab.evaluate("[auth.isSignedIn, heard]") == [then == "sign up", []]
    if then == "sign up":
        assert await tab.evaluate(ME) == person["email"]


async def test_a_late_refusal_leaves_the_cookie_of_another_tab(
    open_tab: OpenTab, app_pages: AppPages, profile: BrowserContext
) -> None:
    """A tab whose session was ended elsewhere is refused after another has signed in anew."""
    person = somebody()
    late = await open_tab(app_pages.same_site, "cookie")
    await late.evaluate(SIGN_UP, person)
    await late.evaluate('auth.callSignedIn("POST", "/auth/logout/all", {})')
    refused, go_on = await begin_refresh(late)
    other = await open_tab(app_pages.same_site, "cookie")
    await other.evaluate("person => auth.logIn(person).then(() => null)", person)
    go_on.set()
    assert (await refused)["code"] == "invalid_refresh_token"
    assert await other.evaluate("auth.refresh().then(() => true)")
    assert len(await refresh_cookies(profile)) == 1


async def test_a_page_of_another_site(
    open_tab: OpenTab, app_pages: AppPages, profile: BrowserContext, pages: ServiceProcess
) -> None:
    """With cookies it is told why not, and nothing is stored; with tokens it works."""
    person = somebody()
    page = await open_tab(app_pages.other_site, "tokens")
    assert (await page.evaluate(SIGN_UP, person)).startswith("osr_")
    assert await page.evaluate("auth.refresh().then(() => true)")
    assert await page.evaluate(ME) == person["email"]
    await page.evaluate(BEGIN.replace("return auth.resume()", ""), [pages.url + ROOT, "cookie"])
    failed = await page.evaluate(f"person => auth.logIn(person).catch({FAILURE})", person)
    assert (failed["status"], failed["code"]) == (403, "origin_not_allowed")
    assert "another site" in failed["message"]
    assert await refresh_cookies(profile) == []


async def test_a_page_that_nobody_has_allowed(
    open_tab: OpenTab, app_pages: AppPages, pages: ServiceProcess
) -> None:
    """The browser does not send what it asks for: nobody is signed up."""
    page, person = await open_tab(app_pages.foreign, "tokens"), somebody()
    failed = await page.evaluate(f"person => auth.signUp(person).catch({FAILURE})", person)
    assert (failed["status"], failed["code"]) == (0, "unreachable")
    async with httpx.AsyncClient(base_url=pages.url) as client:
        answer = await client.post("/auth/login", json=person)
    assert answer.json()["error"]["code"] == "invalid_credentials"
