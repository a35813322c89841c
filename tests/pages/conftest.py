"""A browser, and the service with its page. One of each for all tests; a fresh profile for each."""

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright
from tools.testbed.redis_server import RedisServer, available
from tools.testbed.service_process import PATIENT, ServiceProcess
from tools.testbed.waiting import PATIENCE

from tests.pages.app_pages import AppPages
from tests.pages.visitor import Visitor

CHROMIUM = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first is the same engine without windows of its own, for less than half of the CPU."""

ROOT = "/id"

OPTIONS = [
    "--no-sandbox",  # it refuses to run as root with one
    "--headless",
    "--disable-gpu",
    "--in-process-gpu",
    "--disable-software-rasterizer",
    "--disable-site-isolation-trials",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-gpu-compositing",
    "--disable-features=IsolateOrigins,site-per-process,PaintHolding,Translate,OptimizationHints,MediaRouter,AutofillServerCommunication",
    "--disable-extensions",
]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium. Without one these tests are skipped, but never where CI=true."""
    given = os.environ.get("CHROMIUM")
    found = [path for name in ([given] if given else CHROMIUM) if (path := shutil.which(name))]
    if not found:
        missing = f"no Chromium: install {' or '.join(CHROMIUM)}, or name one: CHROMIUM=/path/to/it"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    return found[0]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """Chromium, without a window."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=OPTIONS)
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
def app_pages() -> Iterator[AppPages]:
    """The pages of an app, on another port than the service."""
    with AppPages() as served:
        yield served


@pytest.fixture(scope="session")
def pages(
    tmp_path_factory: pytest.TempPathFactory, app_pages: AppPages
) -> Iterator[ServiceProcess]:
    """The service with its page, logging all it ever logs."""
    directory = tmp_path_factory.mktemp("pages")
    server = RedisServer(available()["valkey"], directory).start()
    settings = {
        "SERVICE_PAGES": "on",
        "SERVICE_ROOT_PATH": ROOT,  # which most of these tests leave out, as behind a proxy
        "SERVICE_ORIGINS": f"{app_pages.same_site},{app_pages.other_site}",
        "SERVICE_COOKIES": "on",
        "SERVICE_LOG_LEVEL": "debug",
        **PATIENT,
    }
    service = ServiceProcess(directory, server.url, **settings).start()
    yield service
    assert service.stop() == 0
    server.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser, pages: ServiceProcess) -> AsyncIterator[Callable[..., Any]]:
    """`await visit()` opens the page in a profile of its own; it takes options of the profile.

    Afterwards: the page asked no other host, broke no policy, and showed no secret to a log.
    """
    async with AsyncExitStack() as stack:
        visitors: list[Visitor] = []

        async def open_page(**options: Any) -> Visitor:
            context = await browser.new_context(base_url=pages.url, locale="en-GB", **options)
            stack.push_async_callback(context.close)
            context.set_default_timeout(PATIENCE * 1000)
            visitors.append(await Visitor.arrive(context))
            return visitors[-1]

        yield open_page
        for visitor in visitors:
            visitor.check(pages.output())


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(visit: Callable[..., Any]) -> Visitor:
    """Somebody with the page before them."""
    arrived: Visitor = await visit()
    return arrived
