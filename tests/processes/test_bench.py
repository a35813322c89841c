"""`scripts/bench` in its smallest form: it uses much of the service, and nobody runs it daily."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.processes.program import REPOSITORY

SMALLEST = (
    "--rounds", "1", "--requests", "2", "--connections", "4",
    "--sessions", "100", "--logins", "4", "--seconds", "1", "--revocations", "10000",
    "--logouts", "3",
)  # fmt: skip


def test_everything_is_measured(tmp_path: Path) -> None:
    """Every kind of figure comes out, in table, JSON and picture."""
    file, picture = tmp_path / "report.json", tmp_path / "report.svg"
    kept = ["--json", str(file), "--chart", str(picture)]
    roots = os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "scripts")))
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", *SMALLEST, *kept],
        env=os.environ | {"PYTHONPATH": roots, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(file.read_bytes())
    assert [row["name"] for row in report["rows"]] == ["logout", "me", "refresh", "enable", "junk"]
    assert all(row["title"] in done.stdout and row["ratio"] > 0 for row in report["rows"])
    assert report["sealing"]["seal"] > 0
    assert 0 < report["guard"]["cached"] < report["guard"]["uncached"]
    assert report["guard"]["revocation_bytes"] > 0
    assert [call["name"] for call in report["flood"]["calls"]] == ["refresh", "logout"]
    assert report["flood"]["without_retry_after"] == 0
    assert report["propagation"]["accepted_again"] == 0 < report["propagation"]["p50"]
    assert {row["topology"] for row in report["topologies"]} == {
        "one server",
        "Sentinels",
        "cluster",
    }
    assert report["workers"]["one_cpu"] > report["workers"]["busiest_cpu"] / 2 > 0
    assert all(memory["session_bytes"] > 0 for memory in report["memory"])
    assert picture.read_text(encoding="utf-8").startswith("<svg")
    assert [path for path in tmp_path.iterdir() if path not in (file, picture)] == []
