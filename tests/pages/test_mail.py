"""What mail is for, by hand: the page leads through all of it, and a link alone does nothing."""

import re
from collections.abc import AsyncIterator, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect
from tools.testbed.service_process import ServiceProcess
from tools.testbed.waiting import PATIENCE, eventually

from tests.pages.visitor import PASSWORD, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")
NEW = "lantern quarry moth seven"


@pytest.fixture(scope="module")
def mailing(
    pages: ServiceProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """The service with its page and a folder for mails."""
    directory = tmp_path_factory.mktemp("mail")
    service = pages.beside(
        directory, SERVICE_PAGES="on", SERVICE_MAIL_URL=f"file://{directory}/mails?links=print"
    ).start()
    yield service
    assert service.stop() == 0


@pytest_asyncio.fixture(loop_scope="session")
async def ada(browser: Browser, mailing: ServiceProcess) -> AsyncIterator[Visitor]:
    context = await browser.new_context(base_url=mailing.url, locale="de-AT")
    context.set_default_timeout(PATIENCE * 1000)
    visitor = await Visitor.arrive(context)
    yield visitor
    await context.close()
    assert not visitor._complaints


def mails(mailing: ServiceProcess, kind: str) -> list[EmailMessage]:
    """The mails of this kind."""
    found = []
    for path in (mailing.directory / "mails").glob(f"*-{kind}-*.eml"):
        mail = message_from_bytes(path.read_bytes(), policy=policy.SMTP)
        assert isinstance(mail, EmailMessage)
        found.append(mail)
    return found


async def link(mailing: ServiceProcess, kind: str, address: str) -> str:
    """The link of the mail of this kind, as the page is reached here; it was printed, too."""
    found: list[str] = []

    async def is_there() -> bool:
        for mail in mails(mailing, kind):
            part = mail.get_body(("plain",))
            if mail["To"] == address and part is not None:
                found.extend(re.findall(r"http\S+#\w+=osm_[\w-]+", part.get_content()))
        return bool(found) and found[0] in mailing.output()

    await eventually(is_there)
    return found[0].replace("http://127.0.0.1:8000", mailing.url)


async def test_the_whole_of_it(ada: Visitor, mailing: ServiceProcess) -> None:
    """Confirming the address, changing it, undoing that, and a password that was forgotten."""
    page = ada.page
    await page.click("a[href='#sign-up']")
    await ada.submit("#sign-up", email=ada.email, password=PASSWORD)
    await ada.sees("#address", ada.email)
    await ada.sees("#address-state", "Not confirmed")
    await page.click("#verify-email")
    verify = await link(mailing, "verify", ada.email)
    async with httpx.AsyncClient() as scanner:
        await scanner.get(verify)
    await page.goto(verify)
    await ada.sees("#follow-link", "Is this your address?")
    assert "osm_" not in page.url
    await page.click("#follow-link-button")
    await ada.sees("#address-state", "Confirmed")
    await expect(page.locator("#verify-email")).to_be_hidden()

    other = f"other.{ada.email}"
    await page.click("summary:has-text('Change address')")
    await ada.submit("#change-email", email=other)
    await page.goto(await link(mailing, "change", other))
    await page.click("#follow-link-button")
    await ada.sees("#address", other)
    await page.goto(await link(mailing, "email_changed", ada.email))
    await page.click("#follow-link-button")
    await ada.sees("#forgot")

    await ada.submit("#forgot", email=ada.email)
    await ada.sees("#sign-in")
    await page.goto(await link(mailing, "reset", ada.email))
    await ada.submit("#reset-password", password=NEW)
    await ada.submit("#sign-in", email=ada.email, password=NEW)
    await ada.sees("#address", ada.email)
    [mail] = mails(mailing, "reset")
    assert "Neues Passwort" in mail["Subject"], "in the language of the browser"


async def test_without_mail(visitor: Visitor) -> None:
    """The page offers nothing that is not there."""
    await expect(visitor.page.locator("a[href='#forgot']")).to_be_hidden()
