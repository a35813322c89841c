"""Changing the password, proving again who one is, taking data along, deleting the account."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Route, expect
from tools.testbed.forked import run_command
from tools.testbed.service_process import ServiceProcess

from tests.pages.visitor import PASSWORD, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

Visit = Callable[..., Any]
NEW = "lantern quarry moth seven"


@pytest_asyncio.fixture(loop_scope="session")
async def http(pages: ServiceProcess) -> AsyncIterator[httpx.AsyncClient]:
    """The service, asked without a browser."""
    async with httpx.AsyncClient(base_url=pages.url) as client:
        yield client


async def log_in(http: httpx.AsyncClient, email: str, password: str) -> httpx.Response:
    return await http.post("/auth/login", json={"email": email, "password": password})


async def open_password_form(ada: Visitor) -> None:
    await ada.page.click("summary:has-text('Change password')")


def reset_link(pages: ServiceProcess, email: str) -> str:
    """The link that an operator prints for somebody who has forgotten their password."""
    command = ["users", "reset-password", email, "--reason", "forgot it", "--json"]
    done = run_command(command, pages._environment)
    assert done.returncode == 0, done.stderr
    link: str = json.loads(done.stdout)["link"]
    return link.replace("http://127.0.0.1:8000", pages.url)


async def ask_for_proof(ada: Visitor, path: str) -> None:
    """Have the next call of this path answered as that of somebody who logged in long ago."""

    async def refuse(route: Route) -> None:
        error = {"code": "insufficient_user_authentication", "message": "Prove who you are."}
        challenge = 'Bearer realm="openshow", error="insufficient_user_authentication"'
        headers = {"WWW-Authenticate": challenge}
        await route.fulfill(status=401, json={"error": error}, headers=headers)

    await ada.page.route(f"**{path}", refuse, times=1)


async def test_changing_the_password(visitor: Visitor, http: httpx.AsyncClient) -> None:
    """Wrong and weak ones are said where they belong; then the other sessions have ended, this tab
    goes on, and the new password alone signs in."""
    ada = await visitor.sign_up()
    other = (await log_in(http, ada.email, PASSWORD)).json()
    await open_password_form(ada)
    await ada.submit("#change-password", currentPassword="wrong one here", newPassword=NEW)
    await ada.sees("#current-password-error", "password is wrong")
    await ada.submit("#change-password", currentPassword=PASSWORD, newPassword="short")
    await ada.sees("#new-password-error", "too short")
    await ada.submit("#change-password", currentPassword=PASSWORD, newPassword=PASSWORD)
    await ada.sees("#new-password-error")
    await ada.submit("#change-password", currentPassword=PASSWORD, newPassword=NEW)
    await ada.sees("#notice", "Your password is changed.")
    await ada.has_focus("password-heading")
    await expect(ada.page.locator("#sessions li")).to_have_count(1)
    await ada.page.reload()
    await ada.sees("#home", ada.email)
    bearer = {"Authorization": f"Bearer {other['accessToken']}"}
    assert (await http.get("/auth/me", headers=bearer)).status_code == 401
    assert (await log_in(http, ada.email, PASSWORD)).status_code == 401
    assert (await log_in(http, ada.email, NEW)).status_code == 200


async def test_what_needs_a_recent_login(visitor: Visitor) -> None:
    """The page asks for the password, says if it is wrong, and then does what was asked for."""
    ada = await visitor.sign_up()
    await ask_for_proof(ada, "/auth/account/export")
    async with ada.page.expect_download() as download:
        await ada.press("Download my data")
        await ada.sees("#proof")
        await ada.has_focus("proof-password")
        await ada.submit("#proof-by-password", password="wrong one here")
        await ada.sees("#proof-password-error", "password is wrong")
        await ada.submit("#proof-by-password", password=PASSWORD)
    assert (await download.value).suggested_filename == "account.json"
    await expect(ada.page.locator("#proof")).to_be_hidden()
    assert await ada.page.input_value("#proof-password") == ""
    await ada.page.reload()  # with the refresh token that proving has given
    await ada.sees("#home", ada.email)


async def test_somebody_who_signs_out_elsewhere_is_asked_nothing(visitor: Visitor) -> None:
    """No question stays before the next one at this computer, nor the password typed into it."""
    ada = await visitor.sign_up()
    other = ada.at(await ada.context.new_page())
    await other.page.goto("/account")
    await other.sees("#home")
    await ask_for_proof(ada, "/auth/account/export")
    await ada.press("Download my data")
    await ada.page.fill("#proof-password", PASSWORD)
    await other.sign_out()
    await ada.sees("#sign-in")
    await ada.has_focus("sign-in-email")
    await expect(ada.page.locator("#proof")).to_be_hidden()
    await expect(ada.page.locator("#proof-password")).to_have_value("")
    await ada.give_password()
    await ada.sees("#home")
    await expect(ada.page.locator("#data-error")).to_have_text("")
    await ada.press("Delete account")
    await other.page.reload()
    await other.sign_out()
    await ada.sees("#sign-in")
    await expect(ada.page.locator("#question")).to_be_hidden()


async def test_not_proving_it(visitor: Visitor) -> None:
    """Cancelled by button or Esc, nothing happens, and the page says so."""
    ada = await visitor.sign_up()
    for cancel in ("click", "key"):
        await ask_for_proof(ada, "/auth/account/export")
        await ada.press("Download my data")
        await ada.sees("#proof")
        if cancel == "click":
            await ada.page.click("#proof-by-password .cancel")
        else:
            await ada.page.keyboard.press("Escape")
        await expect(ada.page.locator("#proof")).to_be_hidden()
        await ada.sees("#data-error", "Nothing was changed.")


async def test_proving_it_by_a_code(visitor: Visitor) -> None:
    """With a second factor the page asks for a code: of the app, or a recovery code."""
    ada = await (await visitor.sign_up()).enrol()
    await ada.press("I have saved them")
    await ask_for_proof(ada, "/auth/account/export")
    async with ada.page.expect_download():
        await ada.press("Download my data")
        await ada.has_focus("proof-code")
        await ada.submit("#proof-by-code", code=ada.recovery_codes[0].lower())
    await ada.page.reload()
    await ada.sees("#factor-on", "9 recovery codes")


async def test_ones_data(visitor: Visitor, tmp_path: Path) -> None:
    """The file has account, sessions and events, and nothing that opens anything."""
    ada = await visitor.sign_up()
    async with ada.page.expect_download() as download:
        await ada.press("Download my data")
    await (await download.value).save_as(tmp_path / "data")
    text = (tmp_path / "data").read_text(encoding="utf-8")
    data = json.loads(text)
    assert ada.email in text
    assert {"sessions", "events"} <= set(data)
    token = await ada.page.evaluate("sessionStorage.getItem('refreshToken')")
    assert token not in text


async def test_deleting_the_account(visitor: Visitor, http: httpx.AsyncClient) -> None:
    """It asks first; then the page is as for a stranger, and nobody can sign in any more."""
    ada = await visitor.sign_up()
    await ada.press("Delete account")
    await ada.agree("Delete your account?", "Cancel")
    await ada.sees("#home", ada.email)
    await ada.press("Delete account")
    await ada.agree("Delete your account?", "Delete account")
    await ada.sees("#sign-in")
    await ada.sees("#notice", "Your account is deleted.")
    assert await ada.page.evaluate("sessionStorage.length") == 0
    assert (await log_in(http, ada.email, PASSWORD)).status_code == 401


async def test_ending_others_with_a_change_of_the_factor(
    visitor: Visitor, http: httpx.AsyncClient
) -> None:
    """The box is ticked at first: turning the second factor on ends those who came by password."""
    ada = await visitor.sign_up()
    other = (await log_in(http, ada.email, PASSWORD)).json()
    await ada.begin_enrolment()
    await expect(ada.page.locator("#verify [name=endOtherSessions]")).to_be_checked()
    await ada.submit("#verify", code=ada.phone.code())
    await ada.read_codes()
    bearer = {"Authorization": f"Bearer {other['accessToken']}"}
    assert (await http.get("/auth/me", headers=bearer)).status_code == 401
    await ada.press("I have saved them")
    await expect(ada.page.locator("#sessions li")).to_have_count(1)


async def test_a_link_for_a_new_password(
    visit: Visit, pages: ServiceProcess, http: httpx.AsyncClient
) -> None:
    """What an operator has printed leads to a new password; the address loses the token."""
    ada = await (await visit()).sign_up()
    link = reset_link(pages, ada.email)
    other = await visit()
    await other.page.goto(link)
    await other.sees("#reset-password")
    assert "#" not in other.page.url
    await other.submit("#reset-password", password="short")
    await other.sees("#reset-password-password-error", "too short")
    await other.submit("#reset-password", password=NEW)
    await other.sees("#sign-in")
    await other.sees("#notice", "Your password is set.")
    assert (await log_in(http, ada.email, PASSWORD)).status_code == 401
    assert (await log_in(http, ada.email, NEW)).status_code == 200
    await ada.page.reload()
    await ada.sees("#sign-in")
    await other.page.goto(link)
    await other.submit("#reset-password", password=f"{NEW} again")
    await other.sees("#reset-password-error")
