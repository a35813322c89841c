"""For everybody: on a phone, in the dark, with a screen reader, without animation."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.pages.visitor import PASSWORD, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

Visit = Callable[..., Any]

UNREADABLE = """() => {
  const luminance = (colour) => {
    const part = (value) =>
      value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = colour.match(/[\\d.]+/g).map((value) => part(value / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (colour !== "rgba(0, 0, 0, 0)") return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const says = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!(says || element.matches("input")) || !element.checkVisibility()) continue;
    const [a, b] = [getComputedStyle(element).color, ground(element)].map(luminance);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(`${element.tagName} ${element.textContent} ${ratio}`);
  }
  return found;
}"""
"""Texts with less contrast than WCAG 2.2 AA asks for (1.4.3)."""

NAMELESS = """() => [...document.querySelectorAll("input, button, a, summary, svg[role=img]")]
  .filter((element) => element.checkVisibility())
  .filter((element) => !(element.labels?.[0] ?? element).textContent.trim() && !element.ariaLabel)
  .map((element) => element.outerHTML)"""
"""Controls that a screen reader has no name for."""


async def states(ada: Visitor) -> AsyncIterator[str]:
    """The person goes through the page; after each step, the name of what is to be seen."""
    yield "sign in"
    await ada.page.click("text=Create an account")
    await ada.submit("#sign-up", email=ada.email, password="short")
    await ada.sees("#sign-up-password-error")
    yield "sign up, refused"
    await ada.sign_up_here()
    body = {"email": ada.email, "password": PASSWORD}
    assert (await ada.page.request.post("/auth/login", data=body)).ok
    await ada.page.reload()
    await ada.sees("#end-others")
    yield "home"
    await ada.begin_enrolment()
    await ada.submit("#verify", code=ada.phone.wrong())
    await ada.sees("#verify-code-error")
    yield "enrol, refused"
    await ada.submit("#verify", code=ada.phone.code())
    await ada.read_codes()
    yield "recovery codes"
    await ada.press("I have saved them")
    for summary in await ada.page.locator("summary:visible").all():
        await summary.click()
        yield "on"
    await ada.sign_out()
    yield "signed out"
    await ada.give_password()
    await ada.sees("#second-step")
    yield "second step"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_readable_and_named(visit: Visit, scheme: str) -> None:
    """In every state each text has enough contrast, each control a name, the page one heading."""
    ada = await visit(color_scheme=scheme, reduced_motion="reduce")
    async for state in states(ada):
        assert await ada.page.evaluate(UNREADABLE) == [], state
        assert await ada.page.evaluate(NAMELESS) == [], state
        headings = ada.page.get_by_role("heading", level=1)
        assert await headings.count() == 1, state
        assert await ada.page.get_by_role("main").count() == 1


async def test_on_a_phone(visit: Visit) -> None:
    """360 pixels wide, with a long address: nothing reaches over the edge, fingers can hit it."""
    ada = await visit(viewport={"width": 360, "height": 640}, is_mobile=True, has_touch=True)
    ada.email = f"{'long-address' * 4}.{ada.email}"
    async for state in states(ada):
        assert await ada.page.evaluate("document.documentElement.scrollWidth") == 360, state
        for button in await ada.page.locator("button:visible:not(.link)").all():
            box = await button.bounding_box()
            assert box
            assert 36 <= box["height"] < 50, state  # one line
            assert box["x"] + box["width"] <= 360, state


async def test_no_animation_for_those_who_prefer_none(visit: Visit) -> None:
    """Nothing moves or fades on its own."""
    ada = await visit(reduced_motion="reduce")
    durations = await ada.page.evaluate(
        "[...document.querySelectorAll('*')].map((e) => getComputedStyle(e).transitionDuration)"
    )
    assert set(durations) == {"0s"}


async def test_what_browsers_fill_in(visitor: Visitor) -> None:
    """Password managers and phones know each field by its `autocomplete`."""
    expected = {
        "sign-in-email": "username",
        "sign-in-password": "current-password",
        "sign-up-email": "username",
        "sign-up-password": "new-password",
        "totp-step-code": "one-time-code",
        "verify-code": "one-time-code",
    }
    for field, purpose in expected.items():
        found = visitor.page.locator(f"#{field}")
        assert await found.get_attribute("autocomplete") == purpose
        if purpose == "one-time-code":
            assert await found.get_attribute("inputmode") == "numeric"
