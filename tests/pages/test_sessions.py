"""The sessions of the page: listed, ended, renewed by itself."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Page, Route, expect
from tools.testbed.service_process import Person, ServiceProcess

from tests.pages.visitor import PASSWORD, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1"
)
Visit = Callable[..., Any]

STORED = "sessionStorage.getItem('refreshToken')"


@pytest_asyncio.fixture(loop_scope="session")
async def http(pages: ServiceProcess) -> AsyncIterator[httpx.AsyncClient]:
    """The service, asked without a browser."""
    async with httpx.AsyncClient(base_url=pages.url) as client:
        yield client


async def elsewhere(http: httpx.AsyncClient, email: str, user_agent: str) -> Person:
    """The same person, signed in on another device."""
    body = {"email": email, "password": PASSWORD}
    answer = await http.post("/auth/login", json=body, headers={"User-Agent": user_agent})
    return Person(http, email, answer.raise_for_status().json())


async def test_listing_and_ending(visitor: Visitor, http: httpx.AsyncClient) -> None:
    """Each with device, address and times; one is ended, then all others, and they are dead."""
    ada = await visitor.sign_up()
    people = [await elsewhere(http, ada.email, agent) for agent in (FIREFOX, IPHONE, "curl/8.5.0")]
    await ada.page.reload()
    rows = ada.page.locator("#sessions li")
    await expect(rows).to_have_count(4)
    shown = await rows.locator("strong").all_inner_texts()
    assert shown == ["Chrome on Linux", "curl", "Safari on iPhone", "Firefox on Windows"]
    await expect(rows.nth(1)).to_contain_text("127.0.0.1")
    for time in await rows.locator("time").all():
        moment = await time.get_attribute("datetime")
        told = "moment => new Intl.DateTimeFormat('en-GB', {dateStyle: 'medium', timeStyle: 'short'"
        assert await time.get_attribute("title") == await ada.page.evaluate(
            f"{told}}}).format(new Date(moment))", moment
        )
        assert await time.inner_text() == "just now"
    await expect(rows.nth(0)).to_contain_text("This one")
    await expect(rows.nth(0).locator("button")).to_have_count(0)

    await ada.press("End the session of Firefox on Windows at 127.0.0.1")
    await ada.agree("End this session?", "Cancel")
    assert [(await one.me()).status_code for one in people] == [200, 200, 200]
    await ada.press("End the session of Firefox on Windows at 127.0.0.1")
    await ada.agree("End this session?", "End session")
    await expect(rows).to_have_count(3)
    await ada.sees("#notice", "Session ended.")
    await ada.has_focus("sessions-heading")
    assert [(await one.me()).status_code for one in people] == [401, 200, 200]
    await ada.press("End all other sessions")
    await ada.agree("End all other sessions?", "End them")
    await expect(rows).to_have_count(1)
    await ada.sees("#notice", "2 sessions ended.")
    await expect(ada.page.locator("#end-others")).to_be_hidden()
    assert [(await one.me()).status_code for one in people] == [401, 401, 401]


async def test_signing_out_ends_the_session(visitor: Visitor, http: httpx.AsyncClient) -> None:
    """The service knows the refresh token no more, and the tab has forgotten it."""
    ada = await visitor.sign_up()
    token = await ada.page.evaluate(STORED)
    await ada.sign_out()
    assert await ada.page.evaluate("sessionStorage.length + localStorage.length") == 0
    assert await ada.context.cookies() == []
    answer = await http.post("/auth/refresh", json={"refreshToken": token})
    assert answer.status_code == 401


async def test_a_session_ended_elsewhere(visitor: Visitor, http: httpx.AsyncClient) -> None:
    """At the next thing that is done, the page says so and asks to sign in; no secret stays."""
    ada = await visitor.sign_up()
    await ada.begin_enrolment()
    other = await elsewhere(http, ada.email, FIREFOX)
    assert (await other.log_out_everywhere()).status_code == 200
    await ada.submit("#verify", code=ada.phone.code())
    await ada.sees("#sign-in")
    await ada.sees("#notice", "Your session has ended. Sign in again.")
    assert await ada.page.inner_html("#qr") == ""
    assert await ada.page.inner_text("#email") == ""
    await ada.give_password()
    await ada.sees("#factor-off")


async def test_signing_out_everywhere(visitor: Visitor, http: httpx.AsyncClient) -> None:
    """This session and the others end, and the page asks to sign in."""
    ada = await visitor.sign_up()
    other = await elsewhere(http, ada.email, FIREFOX)
    await ada.press("Sign out everywhere")
    await ada.agree("Sign out everywhere?", "Sign out everywhere")
    await ada.sees("#sign-in")
    await ada.sees("#notice", "You are signed out everywhere.")
    assert (await other.me()).status_code == 401
    assert await ada.page.evaluate(STORED) is None


async def test_how_long_ago(visitor: Visitor) -> None:
    """Times are told as people tell them."""
    ada = await visitor.sign_up()
    ages = {0: "just now", 58: "just now", 60: "1 minute ago", 7_300: "2 hours ago"}
    ages |= {90_000: "yesterday", 3 * 86_400: "3 days ago", 40 * 86_400: "last month"}
    remaining = iter(ages)

    async def age(route: Route) -> None:
        answer = await route.fetch()
        body = await answer.json()
        made = datetime.now(UTC) - timedelta(seconds=next(remaining) + 0.2)
        body["sessions"][0]["createdAt"] = made.isoformat()
        await route.fulfill(response=answer, json=body)

    await ada.page.route("**/auth/sessions", age)
    for told in ages.values():
        await ada.page.reload()
        await ada.sees("#sessions .since", told)


async def test_tabs_share_one_session(visitor: Visitor) -> None:
    """A reload stays signed in; a new tab takes the session of the first over, and signing out in
    one ends it for both. The access token is nowhere but in memory."""
    ada = await visitor.sign_up()
    kept = await ada.page.evaluate("Object.values(sessionStorage)")
    assert [token[:4] for token in kept] == ["osr_"]
    await ada.page.reload()
    await ada.sees("#home", ada.email)
    fresh = ada.at(await ada.context.new_page())
    await fresh.page.goto("/account")
    await fresh.sees("#home", ada.email)
    await expect(fresh.page.locator("#sessions li")).to_have_count(1)
    assert await fresh.page.evaluate(STORED) == await ada.page.evaluate(STORED)
    await fresh.sign_out()
    await ada.sees("#sign-in")
    await ada.sees("#notice", "You are signed out.")
    await fresh.page.close()
    await ada.page.reload()
    await ada.sees("#sign-in")


async def test_a_profile_of_its_own_shares_nothing(visit: Visit) -> None:
    """Another browser profile has to sign in."""
    await (await visit()).sign_up()
    await (await visit()).sees("#sign-in")


async def test_two_calls_at_once_renew_once(visitor: Visitor) -> None:
    """Both find the access token over; one refresh serves them both."""
    ada = await visitor.sign_up()
    refused, renewals = [], []
    both = asyncio.Event()

    async def expire(route: Route) -> None:
        refused.append(route.request.url)
        if len(refused) == 2:
            both.set()
        await both.wait()
        if len(refused) > 2:
            await route.continue_()
        else:
            await route.fulfill(status=401, json={"error": {"code": "unauthorized"}})

    async def release(route: Route) -> None:
        renewals.append(route.request.url)
        await route.continue_()

    await ada.page.route("**/auth/2fa/enable", expire, times=1)
    await ada.page.route("**/auth/logout/all", expire, times=1)
    await ada.page.route("**/auth/refresh", release)
    await ada.page.evaluate(
        "for (const id of ['enable', 'end-others']) document.getElementById(id).click()"
    )
    await ada.agree("End all other sessions?", "End them")
    await ada.sees("#qr svg")
    await ada.sees("#notice", "0 sessions ended.")
    assert len(refused) == 2
    assert len(renewals) == 1


async def duplicate(ada: Visitor) -> Page:
    """The tab once more, as browsers do it: with a copy of its sessionStorage."""
    token = await ada.page.evaluate(STORED)
    page = await ada.context.new_page()
    await page.goto("/schema")
    await page.evaluate("token => sessionStorage.setItem('refreshToken', token)", token)
    await page.goto("/account")
    return page


async def test_two_tabs_racing_a_refresh_both_stay(visitor: Visitor) -> None:
    """With the same refresh token on the way twice, both get its successor; then one renews again
    and tells the other, which so never spends what is spent."""
    ada = await visitor.sign_up()
    page = await duplicate(ada)
    twin = ada.at(page)
    await twin.sees("#home")
    spent: list[str] = []
    both = asyncio.Event()

    async def meet(route: Route) -> None:
        spent.append(route.request.post_data_json["refreshToken"])
        if len(spent) == 2:
            both.set()
        await both.wait()
        await route.continue_()

    await ada.context.route("**/auth/refresh", meet, times=2)
    await asyncio.gather(ada.page.reload(), page.reload())
    for tab in (ada, twin):
        await tab.sees("#home", ada.email)
    assert len(spent) == 2
    assert len(set(spent)) == 1

    for _ in range(2):
        await ada.page.reload()
        await ada.sees("#home", ada.email)
    newest = await ada.page.evaluate(STORED)
    await page.wait_for_function(f"token => {STORED} === token", arg=newest)
    await page.reload()
    await twin.sees("#home", ada.email)
