"""docs/examples/single_page.html in a real browser, with a guarded pod behind its origin."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import Browser, Route
from tools.testbed.redis_server import REPOSITORY
from tools.testbed.service_process import ServiceProcess
from tools.testbed.waiting import PATIENCE, eventually

from service.guard import Identity, Verifier
from service.guard.verifier_thread import thread_of
from service.guard.wsgi import IDENTITY, GuardMiddleware
from tests.guard.test_wsgi import call
from tests.pages.app_pages import PAGES, AppPages
from tests.pages.conftest import ROOT
from tests.pages.visitor import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGE = (REPOSITORY / "docs/examples/single_page.html").read_text(encoding="utf-8")
SERVICE = 'content="http://127.0.0.1:8000"'


def orders(environ: Any, start_response: Any) -> list[bytes]:
    """The pod: answers whose orders these are."""
    identity: Identity = environ[IDENTITY]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [b'"%s"' % identity.user_id.encode()]


async def test_a_single_page_app(
    browser: Browser,
    pages: ServiceProcess,
    app_pages: AppPages,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Signs up, calls the pod, is still signed in after a reload, and signs out in all tabs."""
    verifier = Verifier(
        issuer="http://127.0.0.1:8000",
        audience="openshow",
        jwks_url=f"{pages.url}/.well-known/jwks.json",
        redis_url=pages.redis_url.reveal(),
    )
    pod = GuardMiddleware(orders, verifier=verifier)
    tokens: list[str] = []
    assert SERVICE in PAGE
    monkeypatch.setitem(
        PAGES, "/app", PAGE.replace(SERVICE, f'content="{pages.url}{ROOT}"').encode()
    )

    async def serve_orders(route: Route) -> None:
        tokens.append((await route.request.all_headers()).get("authorization", ""))
        answer = await asyncio.to_thread(call, pod, "/orders", tokens[-1])
        await route.fulfill(status=answer.status, headers=answer.headers, body=answer.body)

    context = await browser.new_context()
    context.set_default_timeout(PATIENCE * 1000)
    await context.route(f"{app_pages.same_site}/orders", serve_orders)
    try:
        page = await context.new_page()
        await page.goto(f"{app_pages.same_site}/app")
        await page.get_by_label("E-mail").fill("single-page@example.com")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign up").click()
        await page.wait_for_function(
            "/[0-9a-f]{32}/.test(document.querySelector('#orders').textContent)"
        )
        assert (
            await page.evaluate(
                "document.cookie + JSON.stringify({...localStorage, ...sessionStorage})"
            )
            == "{}"
        )
        await page.reload()
        await page.get_by_role("button", name="Sign out").wait_for()
        other = await context.new_page()
        await other.goto(f"{app_pages.same_site}/app")
        await other.get_by_role("button", name="Sign out").wait_for()
        await page.get_by_role("button", name="Sign out").click()
        for tab in (page, other):
            await tab.get_by_role("button", name="Sign in").wait_for()
        assert await page.locator("[role=alert]").text_content() == ""

        async def refused() -> bool:
            return (await asyncio.to_thread(call, pod, "/orders", tokens[-1])).status == 401

        await eventually(refused)
    finally:
        await context.close()
        await asyncio.to_thread(thread_of(verifier).close)
