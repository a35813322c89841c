"""What people do on the page, from signing up to turning the second factor off."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.pages.visitor import PASSWORD, Visitor, read_qr_code
from tests.support.two_factor import Phone

pytestmark = pytest.mark.asyncio(loop_scope="session")

Visit = Callable[..., Any]


async def test_from_signing_up_to_a_recovery_code(visit: Visit) -> None:
    """Enrol by the QR code on the screen, keep the codes, come back with a code, then without."""
    ada = await visit(permissions=["clipboard-read", "clipboard-write"])
    await ada.sign_up()
    await ada.sees("#second-factor-state", "Off")
    await ada.enrol()
    assert len(set(ada.recovery_codes)) == 10
    await ada.sees("#second-factor-state", "On")
    await ada.press("Copy")
    await ada.sees("#notice", "Recovery codes copied.")
    copied = await ada.page.evaluate("navigator.clipboard.readText()")
    assert copied.split("\n") == ada.recovery_codes
    await ada.press("I have saved them")
    await ada.sees("#factor-on", "10 recovery codes")
    assert await ada.page.locator("#codes li").count() == 0

    await ada.sign_out()
    await ada.give_password()
    await ada.submit("#totp-step", code=ada.phone.code(1))
    await ada.sees("#home", ada.email)

    await ada.sign_out()
    await ada.give_password()
    await ada.press("Use a recovery code")
    await ada.submit("#recovery-step", code=ada.recovery_codes[3].lower().replace("-", " "))
    await ada.sees("#factor-on", "9 recovery codes")


async def test_new_recovery_codes_and_turning_it_off(visitor: Visitor) -> None:
    """The old codes stop working, a new one turns the second factor off, the password suffices."""
    ada = await visitor.sign_up()
    old = (await ada.enrol()).recovery_codes
    await ada.press("I have saved them")
    await ada.page.click("summary:has-text('New recovery codes')")
    await ada.submit("#renew-codes", code=ada.phone.code(1))
    await ada.sees("#codes-heading", "Your new recovery codes")
    new = await ada.read_codes()
    assert len(set(new) - set(old)) == 10
    await ada.press("I have saved them")
    await ada.page.click("summary:has-text('Turn off')")
    await ada.submit("#disable", code=old[0])
    await ada.sees("#disable-code-error", "The code is wrong")
    await ada.submit("#disable", code=new[0])
    await ada.sees("#factor-off")
    await ada.sees("#second-factor-state", "Off")
    await ada.sign_out()
    await ada.give_password()
    await ada.sees("#home", ada.email)


async def test_the_codes_as_a_file(visitor: Visitor, tmp_path: Path) -> None:
    """The file holds all ten, and says whose they are."""
    ada = await (await visitor.sign_up()).enrol()
    async with ada.page.expect_download() as download:
        await ada.press("Download as text")
    assert (await download.value).suggested_filename == "recovery-codes.txt"
    await (await download.value).save_as(tmp_path / "codes")
    text = (tmp_path / "codes").read_text(encoding="utf-8")
    assert text.rstrip("\n").split("\n")[-10:] == ada.recovery_codes
    assert ada.email in text


async def test_the_typed_key_is_the_scanned_one(visit: Visit) -> None:
    """For those who cannot scan: in groups of four on the screen, in one piece when copied."""
    ada = await visit(permissions=["clipboard-read", "clipboard-write"])
    await ada.sign_up()
    scanned = await ada.begin_enrolment()
    shown = await ada.page.inner_text("#secret")
    assert {len(group) for group in shown.split()} == {4}
    assert shown.replace(" ", "") == Phone(scanned).totp.secret
    await ada.press("Copy key")
    await ada.sees("#notice", "Key copied.")
    assert await ada.page.evaluate("navigator.clipboard.readText()") == Phone(scanned).totp.secret


async def test_copying_where_the_browser_forbids_it(visitor: Visitor) -> None:
    """The codes are selected instead, and the page says what to do."""
    ada = await visitor.sign_up()
    await ada.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    await ada.enrol()
    await ada.press("Copy")
    await ada.sees("#notice", "Recovery codes selected.")
    selected = await ada.page.evaluate("getSelection().toString()")
    assert selected.split() == ada.recovery_codes


@pytest.mark.parametrize(
    ("address", "scheme"),
    [
        ("ada+tag&b=c", "light"),
        ("100%25'/?#", "dark"),
        ("zoë", "light"),
        ("多" * 20, "dark"),
    ],
    ids=["plus", "percent", "umlaut", "long"],
)
async def test_the_qr_code_is_the_url(visit: Visit, address: str, scheme: str) -> None:
    """Read from the screen as a phone would, it is the `otpauthUrl` of the answer, whoever asks."""
    ada = await visit(color_scheme=scheme)
    ada.email = f"{address}.{ada.email}"
    await ada.sign_up()
    async with ada.page.expect_response("**/auth/2fa/enable") as answer:
        scanned = await ada.begin_enrolment()
    assert scanned == (await (await answer.value).json())["otpauthUrl"]
    assert ada.phone.totp.name == ada.email


async def test_on_the_phone_itself(visit: Visit) -> None:
    """Who reads this on the phone that has the app gets a link to it, others do not."""
    ada = await visit(is_mobile=True, has_touch=True, viewport={"width": 390, "height": 844})
    await ada.sign_up()
    scanned = await ada.begin_enrolment()
    link = ada.page.locator("#open-app")
    await expect(link).to_be_visible()
    assert await link.get_attribute("href") == scanned
    await ada.press("Cancel")
    assert await link.get_attribute("href") is None

    desk = await (await visit()).sign_up()
    await desk.begin_enrolment()
    await expect(desk.page.locator("#open-app")).to_be_hidden()


async def test_showing_what_is_typed(visitor: Visitor) -> None:
    """Each password can be shown, and is hidden again once the form was sent."""
    field = visitor.page.locator("#sign-in-password")
    await field.fill(PASSWORD)
    await expect(field).to_have_attribute("type", "password")
    await visitor.page.get_by_role("button", name="Show password", exact=True).first.click()
    await expect(field).to_have_attribute("type", "text")
    await visitor.page.get_by_role("button", name="Hide password", exact=True).first.click()
    await expect(field).to_have_attribute("type", "password")
    await visitor.page.get_by_role("button", name="Show password", exact=True).first.click()
    await visitor.page.click("text=Create an account")
    await visitor.sign_up_here()
    await visitor.sign_out()
    await expect(field).to_have_attribute("type", "password")


async def test_cancelling_leaves_no_secret(visitor: Visitor) -> None:
    """Neither key nor QR code stays in the page; set up again, they are others."""
    ada = await visitor.sign_up()
    first = await ada.begin_enrolment()
    await ada.press("Cancel")
    await ada.sees("#factor-off")
    assert await ada.page.inner_html("#qr") == ""
    assert Phone(first).totp.secret[:4] not in await ada.page.content()
    await ada.has_focus("enable")
    await ada.press("Set up")
    await ada.sees("#qr svg")
    assert read_qr_code(await ada.page.locator("#qr").screenshot()) != first


async def test_with_the_keyboard_alone(visitor: Visitor) -> None:
    """Sign up, enrol, keep the codes and sign out with Tab, Enter and typing."""
    ada, keyboard = visitor, visitor.page.keyboard
    await ada.tab_to("#sign-in .aside a[href='#sign-up']")
    await keyboard.press("Enter")
    await ada.sees("#sign-up")
    await ada.has_focus("sign-up-email")
    await keyboard.type(ada.email)
    await ada.tab_to("#sign-up-password")
    await keyboard.type(PASSWORD)
    await keyboard.press("Enter")
    await ada.sees("#home")
    await ada.has_focus("home-heading")
    await ada.tab_to("#enable")
    await keyboard.press("Enter")
    await ada.sees("#qr svg")
    await expect(ada.page.locator("#enrol-heading")).to_be_focused()
    phone = Phone(read_qr_code(await ada.page.locator("#qr").screenshot()))
    await ada.tab_to("#verify-code")
    await keyboard.type(phone.code())
    await keyboard.press("Enter")
    await ada.read_codes()
    await expect(ada.page.locator("#codes-heading")).to_be_focused()
    await ada.tab_to("#codes-saved")
    await keyboard.press("Space")
    await ada.sees("#factor-on")
    await expect(ada.page.locator("#second-factor-heading")).to_be_focused()
    await ada.tab_to("summary >> nth=1")
    await keyboard.press("Enter")
    await ada.tab_to("#disable-code")
    await keyboard.press("Shift+Tab")
    await ada.page.focus("body")
    await ada.tab_to("#sign-out")
    await keyboard.press("Enter")
    await ada.sees("#sign-in")
    await ada.has_focus("sign-in-email")
