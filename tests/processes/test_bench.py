"""`scripts/bench` in its smallest form: it uses much of the service, and nobody runs it daily."""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.processes.program import REPOSITORY

SMALLEST = (
    "--rounds", "1", "--requests", "2", "--connections", "4",
    "--sessions", "100", "--sessions-most", "1000", "--storm-connections", "4",
    "--storm-rounds", "1", "--seconds", "1", "--revocations", "10000", "--logouts", "3",
)  # fmt: skip

CHARTS = ("performance", "performance-growth", "performance-connections", "performance-storm")

PAGE = (
    "By hand.\n<!-- figures: calls -->\nold\n<!-- end -->\n<!-- figures: no -->\nkept\n<!-- end -->"
)


def bench(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    roots = os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "scripts")))
    return subprocess.run(
        [sys.executable, "-m", "tools.bench", *arguments],
        env=os.environ | {"PYTHONPATH": roots, "TMPDIR": str(directory)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_everything_is_measured(tmp_path: Path) -> None:
    """Every kind of figure comes out, in table, JSON, page and pictures."""
    charts = tmp_path / "charts"
    charts.mkdir()
    file, page = tmp_path / "report.json", tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    kept = ("--json", str(file), "--page", str(page), "--charts", str(charts))
    with TemporaryDirectory() as temporary:  # its path is short enough for a socket
        done = bench(Path(temporary), *SMALLEST, *kept)
        assert done.returncode == 0, done.stderr
        assert list(Path(temporary).iterdir()) == []
    report = json.loads(file.read_bytes())
    check_calls(report, done.stdout)
    check_growth(report)
    check_storms(report)
    check_the_rest(report)
    written = page.read_text(encoding="utf-8")
    assert all(text in written for text in ("By hand.", "`POST /auth/logout`", "\nkept\n"))
    assert "\nold\n" not in written
    assert {path.stem for path in charts.iterdir()} == set(CHARTS)
    assert all(path.read_text(encoding="utf-8").startswith("<svg") for path in charts.iterdir())


def check_calls(report: Any, printed: str) -> None:
    names = ["evalsha", "logout", "me", "refresh", "enable", "junk"]
    assert [row["name"] for row in report["rows"]] == names
    assert all(row["title"] in printed and row["ratio"] > 0 for row in report["rows"])
    assert 0 < report["bare"]["signature"] < report["bare"]["jwt"]
    assert report["bare"]["evalsha_redis"] > 0
    assert [crowd["connections"] for crowd in report["crowds"]] == [1, 8, 32, 64]


def check_growth(report: Any) -> None:
    points = [(point["name"], point["sessions"]) for point in report["growth"]["points"]]
    assert points == [(name, n) for name in ("logout", "me", "refresh") for n in (100, 1000)]
    assert all(point["redis_cpu"] > 0 for point in report["growth"]["points"])


def check_storms(report: Any) -> None:
    flood, storm = report["flood"], report["storm"]
    assert [call["name"] for call in flood["calls"]] == ["refresh", "logout"]
    assert flood["without_retry_after"] == 0 < flood["alone_share"]
    assert [call["name"] for call in storm["rows"][0]["calls"]] == ["me", "refresh"]
    assert storm["rows"][-1]["at_once"] > 1 == storm["rows"][0]["at_once"]


def check_the_rest(report: Any) -> None:
    assert report["sealing"]["seal"] > 0
    assert 0 < report["guard"]["cached"] < report["guard"]["uncached"]
    assert report["guard"]["revocation_bytes"] > 0
    assert report["propagation"]["accepted_again"] == 0 < report["propagation"]["p50"]
    topologies = {row["topology"] for row in report["topologies"]}
    assert topologies == {"one server", "Sentinels", "cluster"}
    assert report["workers"]["one_cpu"] > report["workers"]["busiest_cpu"] / 2 > 0
    assert all(memory["session_bytes"] > 0 for memory in report["memory"])


def test_the_page_shows_what_is_kept(tmp_path: Path) -> None:
    """The tables of docs/performance.md and its pictures are those of docs/performance.json."""
    docs = REPOSITORY / "docs"
    page = tmp_path / "performance.md"
    page.write_bytes((docs / page.name).read_bytes())
    kept = ("--from", str(docs / "performance.json"))
    done = bench(tmp_path, *kept, "--page", str(page), "--charts", str(tmp_path))
    assert done.returncode == 0, done.stderr
    for made in tmp_path.iterdir():
        assert made.read_text(encoding="utf-8") == (docs / made.name).read_text(encoding="utf-8")
