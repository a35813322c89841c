"""What goes wrong is said in a sentence, where it belongs, and the focus goes there."""

import asyncio

import pytest
from playwright.async_api import Route, expect

from tests.pages.visitor import PASSWORD, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def refused(visitor: Visitor, field: str, message: str) -> None:
    """The message stands by this field, is read out with it, and the field has the focus."""
    await visitor.sees(f"#{field}-error", message)
    found = visitor.page.locator(f"#{field}")
    await expect(found).to_be_focused()
    await expect(found).to_have_attribute("aria-invalid", "true")
    assert f"{field}-error" in str(await found.get_attribute("aria-describedby"))
    await expect(visitor.page.locator(f"#{field}-error")).to_have_attribute("role", "alert")


async def test_signing_up(visitor: Visitor) -> None:
    """An empty field, an address that is none, a weak password, an address that is taken."""
    await visitor.page.click("text=Create an account")
    await visitor.submit("#sign-up")
    await refused(visitor, "sign-up-email", "Please fill this in.")
    await visitor.submit("#sign-up", email="ada", password=PASSWORD)
    await refused(visitor, "sign-up-email", "The e-mail address is not valid.")
    await visitor.submit("#sign-up", email=visitor.email, password="short")
    await refused(visitor, "sign-up-password", "The password is too short")
    await expect(visitor.page.locator("#sign-up-email-error")).to_be_empty()
    await visitor.submit("#sign-up", password=PASSWORD)
    await visitor.sees("#home")
    await visitor.sign_out()
    await visitor.page.click("text=Create an account")
    await visitor.submit("#sign-up", email=visitor.email, password=PASSWORD)
    await refused(visitor, "sign-up-email", "An account with this e-mail address exists.")


async def test_signing_in(visitor: Visitor) -> None:
    """A wrong password, then a wrong code; the right ones still lead in."""
    await (await visitor.sign_up()).enrol()
    await visitor.sign_out()
    await visitor.submit("#sign-in", email=visitor.email, password="wrong password")
    await refused(visitor, "sign-in-password", "The e-mail address or the password is wrong.")
    await visitor.give_password()
    await visitor.submit("#totp-step", code=visitor.phone.wrong())
    await refused(visitor, "totp-step-code", "The code is wrong")
    assert await visitor.page.input_value("#totp-step-code") == ""
    code = visitor.phone.code(1)
    await visitor.submit("#totp-step", code=f"{code[:3]} {code[3:]}")  # as apps show it
    await visitor.sees("#home")


async def test_a_challenge_that_is_gone(visitor: Visitor) -> None:
    """After five wrong codes the page goes back to the password, and says why."""
    await (await visitor.sign_up()).enrol()
    await visitor.sign_out()
    await visitor.give_password()
    for _ in range(5):
        async with visitor.page.expect_response("**/auth/login/2fa"):
            await visitor.submit("#totp-step", code=visitor.phone.wrong())
        await refused(visitor, "totp-step-code", "The code is wrong")
    await visitor.submit("#totp-step", code=visitor.phone.code(1))
    await visitor.sees("#sign-in")
    await visitor.sees("#notice", "The login has expired or was completed; log in again.")


async def test_a_wrong_code_at_enrolment(visitor: Visitor) -> None:
    """The QR code stays, and the right code still turns it on."""
    await visitor.sign_up()
    await visitor.begin_enrolment()
    await visitor.submit("#verify", code=visitor.phone.wrong())
    await refused(visitor, "verify-code", "The code is wrong")
    await visitor.sees("#qr svg")
    await visitor.submit("#verify", code=visitor.phone.code())
    assert len(await visitor.read_codes()) == 10


async def test_too_many_attempts(visitor: Visitor) -> None:
    """The page says in words how long to wait, not which header to read."""

    async def refuse(route: Route) -> None:
        error = {"code": "rate_limited", "message": "See Retry-After."}
        await route.fulfill(status=429, json={"error": error}, headers={"Retry-After": "600"})

    await visitor.page.route("**/auth/login", refuse)
    await visitor.give_password()
    await visitor.sees("#sign-in-error", "Too many attempts. Try again in 10 minutes.")
    await expect(visitor.page.locator("#sign-in-error")).to_be_focused()


async def test_no_connection(visitor: Visitor) -> None:
    """Signed in or not, the page says so and goes on once there is one again."""
    await visitor.sign_up()
    await visitor.page.route("**/auth/**", lambda route: route.abort())
    await visitor.press("Set up")
    await visitor.sees("#enable-error", "The service cannot be reached.")
    await visitor.page.reload()
    await visitor.sees("#trouble", "The service cannot be reached.")
    await visitor.page.unroute("**/auth/**")
    await visitor.press("Try again")
    await visitor.sees("#home", visitor.email)


async def test_a_form_is_sent_once(visitor: Visitor) -> None:
    """However often Enter is pressed while the answer is on its way."""
    sent = []
    go_on = asyncio.Event()

    async def hold(route: Route) -> None:
        sent.append(route.request)
        await go_on.wait()
        await route.continue_()

    await visitor.page.route("**/auth/signup", hold)
    await visitor.page.click("text=Create an account")
    await visitor.page.fill("#sign-up-email", visitor.email)
    await visitor.page.fill("#sign-up-password", PASSWORD)
    for _ in range(3):
        await visitor.page.keyboard.press("Enter")
    go_on.set()
    await visitor.sees("#home")
    assert len(sent) == 1


async def test_a_lost_answer_to_verify(visitor: Visitor) -> None:
    """It is on, but nobody has seen the recovery codes: the page leads to new ones."""
    await visitor.sign_up()
    await visitor.begin_enrolment()

    async def lose(route: Route) -> None:
        await route.fetch()  # the service has done it
        await route.abort()

    await visitor.page.route("**/auth/2fa/verify", lose)
    await visitor.submit("#verify", code=visitor.phone.code())
    await visitor.sees("#verify-error", "The service cannot be reached.")
    await visitor.page.unroute("**/auth/2fa/verify")
    await visitor.submit("#verify", code=visitor.phone.code(1))
    await visitor.sees("#factor-on")
    await expect(visitor.page.locator("#renew-codes-code")).to_be_focused()
    await visitor.sees("#notice", "Make new recovery codes")
