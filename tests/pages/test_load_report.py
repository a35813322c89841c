"""The report of `scripts/load` in a browser: it asks nobody for anything, and shows its figures."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, expect
from tools.load.figures import (
    Call,
    Course,
    Failure,
    Generator,
    Latencies,
    Series,
    Summary,
    Verdict,
    Watched,
)
from tools.load.report import page

TIMES = Latencies(1.5, 3.25, 12.5, 40.0)
SUMMARY = Summary(
    mix="mixed", weights={"me": 75.0, "refresh": 25.0}, host="http://127.0.0.1:8000",
    started_at="2026-01-01T00:00:00+00:00", rate=200.0, spacing="Poisson", warm_up=1.0,
    duration=3.0, people=100, verdict="broken",
    verdicts=[Verdict("p99 ≤ 10 ms", "12.5 ms", False), Verdict("errors ≤ 1", "1", True)],
    total=Call("all", 600, 200.0, 1, 0, TIMES),
    calls=[Call("me", 450, 150.0, 1, 0, TIMES), Call("refresh", 150, 50.0, 0, 0, TIMES)],
    failures=[Failure("me", "<script>alert(1)</script>", 1, False)],
    generator=Generator(TIMES, 20.0, 0, 7, 150.0, 0.03, True, 1.5, 2),
    watched=[Watched("4711", 1e8, 1.01e8, 1.0, 0.5)],
    course=Course(
        1.0, [Series("arrivals", [200.0, 190.0, None, 210.0])],
        {"me": [Series("p50", [1.0, 2.0, 1.0, 2.0]), Series("p99", [9.0, None, 12.0, None])]},
        [Series("p99", [1.0, 1.0, 1.0, 1.0])], [Series("4711", [95.0] * 4)],
        [Series("4711", [0.5] * 4)],
    ),
)  # fmt: skip


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_report_stands_alone(browser: Browser, tmp_path: Path, scheme: str) -> None:
    """It loads nothing, runs nothing, complains of nothing; text can be read on its paper."""
    file = tmp_path / "report.html"
    file.write_text(page(SUMMARY), encoding="utf-8")
    context = await browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": 400, "height": 800},
    )
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    opened = await context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    await opened.goto(file.as_uri())
    await expect(opened.get_by_role("heading", level=1)).to_have_text("mixed at 200 a second")
    await expect(opened.get_by_text("broken: a threshold does not hold")).to_be_visible()
    await expect(opened.get_by_role("row", name="refresh 150")).to_be_visible()
    charts = opened.get_by_role("img")
    await expect(charts).to_have_count(5)
    await expect(charts.nth(1)).to_have_accessible_name("Latency of me, ms")
    await expect(charts.nth(0).locator("path.line")).to_be_visible()
    body = opened.locator("body")
    colours = [await _luminance(body, name) for name in ("color", "backgroundColor")]
    assert (colours[0] > colours[1]) == (scheme == "dark")
    wide = await opened.evaluate("document.documentElement.scrollWidth")
    assert wide <= 400
    assert asked == [file.as_uri()]
    assert complaints == []
    await context.close()


async def _luminance(body: Locator, name: str) -> float:
    colour = await body.evaluate(f"element => getComputedStyle(element).{name}")
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


def test_it_names_no_address_but_the_target() -> None:
    """Nothing in the file could be fetched, and what a server said is text, not markup."""
    text = page(SUMMARY)
    assert set(re.findall(r"https?://[^\s<\"]+", text)) == {"http://127.0.0.1:8000"}
    assert not re.search(r"<script|<link|<img|<iframe|\ssrc=|\shref=|url\(|@import", text)
