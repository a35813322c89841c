"""Somebody who uses the page by hand, and an eye on all that the browser does meanwhile."""

import io
import json
import secrets
from urllib.parse import quote, urlsplit

import zxingcpp
from PIL import Image
from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request, WebError, expect

from tests.support.two_factor import Phone

PASSWORD = "tulip anvil harbour nine"  # not the one in the greeting that the service prints


class Visitor:
    """A person before one page of a browser profile. Ids in selectors are those of the page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.context = page.context
        self.email = f"{secrets.token_hex(6)}@example.com"
        self.phone: Phone
        self.recovery_codes: list[str] = []
        self._requests: list[Request] = []
        self._complaints: list[str] = []

    @classmethod
    async def arrive(cls, context: BrowserContext) -> "Visitor":
        """Open the page in this profile."""
        visitor = cls(await context.new_page())
        context.on("request", visitor._note)
        context.on("console", visitor._hear)
        context.on("weberror", visitor._hear_of)
        await visitor.page.goto("/account")
        await visitor.sees("#sign-in")
        return visitor

    def at(self, page: Page) -> "Visitor":
        """The same person before another page of the same profile."""
        other = Visitor(page)
        other.email = self.email
        return other

    async def sees(self, selector: str, text: str | None = None) -> None:
        """Wait until it is visible, and has this text in it."""
        found = self.page.locator(selector)
        await expect(found).to_be_visible()
        if text is not None:
            await expect(found).to_contain_text(text)

    async def submit(self, form: str, **fields: str) -> None:
        """Fill in fields by their names, and press the button of the form."""
        for name, value in fields.items():
            await self.page.fill(f"{form} [name={name}]", value)
        await self.page.click(f"{form} button:not([type=button])")

    async def press(self, name: str) -> None:
        """Press the button that is called this."""
        await self.page.get_by_role("button", name=name, exact=True).click()

    async def agree(self, question: str, button: str) -> None:
        """Press the button of the question that is on the screen."""
        await self.sees("#question-heading", question)
        await self.page.click(f"#question button:text-is('{button}')")
        await expect(self.page.locator("#question")).to_be_hidden()

    async def sign_up(self) -> "Visitor":
        """Go to the form, and create an account."""
        await self.page.click("text=Create an account")
        return await self.sign_up_here()

    async def sign_up_here(self) -> "Visitor":
        """Create an account, with the form on the screen."""
        await self.submit("#sign-up", email=self.email, password=PASSWORD)
        await self.sees("#home", self.email)
        return self

    async def give_password(self) -> None:
        """The first step of signing in."""
        await self.submit("#sign-in", email=self.email, password=PASSWORD)

    async def begin_enrolment(self) -> str:
        """Set up, and scan. What the QR code on the screen says."""
        await self.press("Set up")
        await self.sees("#qr svg")
        scanned = read_qr_code(await self.page.locator("#qr").screenshot())
        self.phone = Phone(scanned)
        return scanned

    async def enrol(self) -> "Visitor":
        """Turn the second factor on. The next code that is good is `phone.code(1)`."""
        await self.begin_enrolment()
        await self.submit("#verify", code=self.phone.code())
        self.recovery_codes = await self.read_codes()
        return self

    async def read_codes(self) -> list[str]:
        """The recovery codes on the screen."""
        await self.sees("#codes")
        return await self.page.locator("#codes li").all_inner_texts()

    async def sign_out(self) -> None:
        await self.press("Sign out")
        await self.sees("#sign-in")

    async def has_focus(self, id_: str) -> None:
        """Wait until this has the focus: the page moves it when what was asked for is there."""
        await expect(self.page.locator(f"#{id_}")).to_be_focused()

    async def tab_to(self, selector: str) -> None:
        """Press Tab until this has the focus, which must then show."""
        target = self.page.locator(selector)
        for _ in range(30):
            if await target.evaluate("element => element === document.activeElement"):
                assert await target.evaluate("element => element.matches(':focus-visible')")
                outline = await target.evaluate("element => getComputedStyle(element).outlineStyle")
                assert outline == "solid"
                return
            await self.page.keyboard.press("Tab")
        raise AssertionError(f"{selector} cannot be reached with Tab")

    def check(self, log: str) -> None:
        """What must be so after every visit; `log` is what the service has logged."""
        assert not self._complaints, self._complaints
        [host] = {urlsplit(request.url).netloc for request in self._requests} - {""}
        assert host == urlsplit(self.page.url).netloc
        addresses = "\n".join(request.url for request in self._requests)
        for secret in self._secrets():
            for spelt in {secret, quote(secret), quote(secret, safe="")}:
                assert spelt not in addresses
                assert spelt not in log

    def _secrets(self) -> set[str]:
        """Everything secret that was on its way, and the recovery codes."""
        found = {PASSWORD, self.email, *self.recovery_codes}
        for request in self._requests:
            found.add(request.headers.get("authorization", "").removeprefix("Bearer "))
            body = json.loads(request.post_data or "{}")
            found |= {text for text in body.values() if isinstance(text, str)}
        # Six digits may be part of a time in the log by chance.
        return {text for text in found if len(text) > 6}

    def _note(self, request: Request) -> None:
        self._requests.append(request)

    def _hear(self, message: ConsoleMessage) -> None:
        # Chromium itself notes each answer that is an error; those are what some tests are about.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load"):
            self._complaints.append(message.text)

    def _hear_of(self, error: WebError) -> None:
        self._complaints.append(str(error.error))


def read_qr_code(screenshot: bytes) -> str:
    """The text of the one QR code in a picture."""
    picture = Image.open(io.BytesIO(screenshot)).convert("L")
    pixels = memoryview(picture.tobytes()).cast("B", shape=[picture.height, picture.width])
    [found] = zxingcpp.read_barcodes(pixels)
    return str(found.text)
