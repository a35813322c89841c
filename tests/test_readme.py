"""The README: its tour works as printed, and what it points to is there."""

import re
import shutil
import subprocess

import pytest
from tools.testbed.redis_server import REPOSITORY
from tools.testbed.service_process import ServiceProcess

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"


@pytest.mark.skipif(shutil.which("curl") is None, reason="the tour needs curl")
def test_the_tour_works_as_printed(service: ServiceProcess) -> None:
    """Pasted into a shell: every call succeeds but the last two, which find dead tokens."""
    [tour] = re.findall(r"## A tour with curl\n.*?```sh\n(.*?)```", README, re.DOTALL)
    ran = subprocess.run(
        ["sh", "-e"],
        input=tour.replace(ADDRESS, service.url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert ran.stdout.count("204") >= 2
    codes = re.findall(r'"code":"(\w+)"', ran.stdout)
    assert codes == ["unauthorized", "invalid_refresh_token"]


def test_links_lead_somewhere() -> None:
    """Every file that the README and the pages in docs/ point to exists."""
    for page in (REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)", text):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
