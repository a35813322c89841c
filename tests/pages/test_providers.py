"""Signing in at an OpenID provider by hand, to its page and back; linking one from within."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect
from tools.testbed.ports import free_port
from tools.testbed.redis_server import RedisServer, available
from tools.testbed.service_process import ServiceProcess
from tools.testbed.waiting import PATIENCE

from tests.oauth.conftest import settings_for
from tests.pages.visitor import PASSWORD
from tests.support.provider import Provider, new_subject
from tests.support.provider_app import new_email

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    provider = Provider().start()
    yield provider
    provider.stop()


@pytest.fixture(scope="module")
def with_providers(
    provider: Provider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """The service with its page, at the address that the provider sends people back to."""
    directory = tmp_path_factory.mktemp("providers")
    server = RedisServer(available()["valkey"], directory).start()
    port = str(free_port())
    service = ServiceProcess(
        directory,
        server.url,
        **settings_for(provider),
        SERVICE_PAGES="on",
        SERVICE_PORT=port,
        SERVICE_ISSUER=f"http://127.0.0.1:{port}",
    ).start()
    yield service
    assert service.stop() == 0
    server.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, with_providers: ServiceProcess) -> AsyncIterator[Page]:
    """The page, in a profile of its own, whose scripts do nothing wrong."""
    context = await browser.new_context(base_url=with_providers.url, locale="en-GB")
    context.set_default_timeout(PATIENCE * 1000)
    complaints: list[str] = []
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    page = await context.new_page()
    await page.goto("/account")
    await expect(page.locator("#sign-in")).to_be_visible()
    yield page
    await context.close()
    assert complaints == []


async def press(page: Page, name: str) -> None:
    await page.get_by_role("button", name=name, exact=True).first.click()


async def test_signing_in_there(page: Page, provider: Provider) -> None:
    """A new account, with nothing left in the address; out, and in again by the same button."""
    email = new_email()
    provider.next = {
        "subject": new_subject(),
        "claims": {"email": email, "email_verified": True},
    }
    for _ in range(2):
        await press(page, "Continue with One")
        await expect(page.locator("#home")).to_contain_text(email)
        assert "#" not in page.url
        await expect(page.locator("#links-list li", has_text="One")).to_contain_text("Unlink")
        await press(page, "Sign out")
        await expect(page.locator("#sign-in")).to_be_visible()


async def test_linking_and_unlinking(page: Page, provider: Provider) -> None:
    """From within an account that has a password: it stays signed in, and is that account."""
    email = new_email()
    provider.next = {"subject": new_subject()}
    await page.click("text=Create an account")
    await page.fill("#sign-up [name=email]", email)
    await page.fill("#sign-up [name=password]", PASSWORD)
    await page.click("#sign-up button:not([type=button])")
    await expect(page.locator("#home")).to_contain_text(email)
    await press(page, "Link The Second")
    await expect(page.locator("#notice")).to_contain_text("linked")
    await expect(page.locator("#home")).to_contain_text(email)
    await press(page, "Sign out")
    await press(page, "Continue with The Second")
    await expect(page.locator("#home")).to_contain_text(email)
    await press(page, "Unlink The Second")
    await page.click("#question button:text-is('Unlink')")
    await expect(page.get_by_role("button", name="Link The Second", exact=True)).to_be_visible()


async def test_what_somebody_else_has_begun(page: Page, provider: Provider) -> None:
    """A grant that was slipped into this tab, and an error: said, and nobody is signed in."""
    for fragment, said in (
        ("#grant=oso_AAAA", "not begun in this tab"),
        ("#error=access_denied", "not agreed"),
        ("#error=whatever", "makes no sense"),
    ):
        await page.goto("about:blank")
        await page.goto(f"/account{fragment}")
        await expect(page.locator("#notice")).to_contain_text(said)
        await expect(page.locator("#sign-in")).to_be_visible()
        assert "#" not in page.url
