"""`scripts/bench` in its smallest form: it uses much of the service, and nobody runs it daily."""

import os
import subprocess
import sys
import tempfile
from multiprocessing.util import get_temp_dir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import msgspec
import pytest
from tools.bench import confirmations, guard, harness, processes, program, scale
from tools.bench.bare_gets import BARE_GET
from tools.bench.calls import BY_NAME
from tools.bench.processes import Server
from tools.bench.results import Report
from tools.testbed.forked import ForkedProgram, Running, fork_server

from tests.processes.program import REPOSITORY
from tests.support.log_state import configured

SMALLEST = (
    "--rounds", "1", "--requests", "2", "--connections", "4",
    "--sessions", "100", "--sessions-most", "1000", "--storm-connections", "4",
    "--storm-rounds", "1", "--seconds", "0.2", "--revocations", "10000", "--logouts", "3",
    "--cut-offs", "2", "--user-sessions", "200", "--waits", "3",
    "--people", "200",
)  # fmt: skip

ROOTS = os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "scripts")))

CHARTS = ("performance", "performance-growth", "performance-connections", "performance-storm")

PAGE = (
    "By hand.\n<!-- figures: calls -->\nold\n<!-- end -->\n<!-- figures: no -->\nkept\n<!-- end -->"
)


def bench(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.bench", *arguments],
        env=os.environ | {"PYTHONPATH": ROOTS, "TMPDIR": str(directory)},
        capture_output=True,
        text=True,
        timeout=900,  # only so that it ends
        check=False,
    )


class ForkedServer(Server):
    """The service and the floor are forked, which spares the CPU of two dozen starts."""

    def _launched(self, log: IO[bytes]) -> Running:
        _, module, *arguments = self.arguments
        if module not in ("service", "tools.bench.floor"):
            return super()._launched(log)
        return ForkedProgram(module, arguments, REPOSITORY, self._environment, log.fileno())


def measured(directory: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of the same program in this process, on services that are forked."""
    monkeypatch.setattr(harness, "Server", ForkedServer)
    monkeypatch.setattr(processes, "_HOW_PROCESSES_START", fork_server().get_start_method())
    get_temp_dir()  # that of all processes which are forked: not in the directory of this test
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    monkeypatch.setenv("PYTHONPATH", ROOTS)
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    with configured("error"):
        return program.main()


def test_everything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every kind of figure comes out, in table, JSON, page and pictures."""
    charts = tmp_path / "charts"
    charts.mkdir()
    file, page = tmp_path / "report.json", tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    kept = ("--json", str(file), "--page", str(page), "--charts", str(charts))
    monkeypatch.setattr(confirmations, "_PROMISED", {10: 10.0})  # not 100 guards beside them, too
    monkeypatch.setattr(guard, "_BATCHES", 4)
    for numbers in ("_WORKERS", "_PRIMARIES", "_GUARDS"):
        monkeypatch.setattr(scale, numbers, (1,))
    with TemporaryDirectory() as temporary:  # its path is short enough for a socket
        assert measured(Path(temporary), monkeypatch, *SMALLEST, *kept) == 0
        ports = f"openshow-ports-{os.getuid()}"  # kept: whoever chooses ports locks parts of it
        assert {path.name for path in Path(temporary).iterdir()} <= {ports}
    report = msgspec.json.decode(file.read_bytes(), type=Report)
    check_calls(report, capsys.readouterr().out)
    check_growth(report)
    check_storms(report)
    check_the_rest(report)
    written = page.read_text(encoding="utf-8")
    assert all(text in written for text in ("By hand.", "`POST /auth/logout`", "\nkept\n"))
    assert "\nold\n" not in written
    assert {path.stem for path in charts.iterdir()} == set(CHARTS)
    assert all(path.read_text(encoding="utf-8").startswith("<svg") for path in charts.iterdir())


def check_calls(report: Report, printed: str) -> None:
    ratios = [row for row in report.of("calls") if row.metric == "× floor"]
    names = [
        "evalsha",
        "logout",
        "me",
        "me_first",
        "refresh",
        "enable",
        "introspect",
        "introspect_batch",
        "junk",
    ]
    assert [row.call for row in ratios][1:] == names
    assert all(row.value > 0 for row in ratios)
    assert all(BY_NAME[name].title in printed for name in names)
    jwt, signature, *others = (
        report.value("calls", f"no HTTP: {name}", "CPU of the worker")
        for name in (
            "PyJWT checks a token",
            "the bare ES256 signature",
            "an ES256 signature is made",
            "our client's EVALSHA",
        )
    )
    assert jwt
    assert signature
    assert 0 < signature < jwt
    assert all(others)
    assert (report.value("calls", "no HTTP: redis-py's EVALSHA", "Redis CPU") or 0) > 0
    assert {row.at for row in report.of("connections")} == {1, 8, 32, 64}


def check_growth(report: Report) -> None:
    points = [(row.call, row.at) for row in report.of("growth") if row.metric == "p50"]
    assert points == [(name, n) for name in ("logout", "me", "refresh") for n in (100, 1000)]
    assert all(row.value > 0 for row in report.of("growth") if row.metric == "Redis CPU")


def check_storms(report: Report) -> None:
    felt = [row.call for row in report.of("flood") if row.metric == "p99 × idle"]
    assert felt == ["refresh", "logout"]
    assert report.value("flood", "login", "503 without Retry-After") == 0
    assert (report.value("flood", "login", "alone, of bare hashes") or 0) > 0
    storms = [(row.call, row.by) for row in report.of("storm") if row.metric == "p99 × idle"]
    assert storms[:2] == [("me", "logouts/s"), ("refresh", "logouts/s")]
    assert storms[-4:-2] == [(name, "logouts at once, every second") for name in ("me", "refresh")]
    assert storms[-1][0] == BARE_GET


def check_the_rest(report: Report) -> None:
    def value(part: str, call: str, metric: str) -> float:
        found = report.value(part, call, metric)
        assert found is not None, (part, call, metric)
        return found

    assert value("seal", "a TOTP secret", "sealed") > 0
    assert (
        0 < value("guard", "guard", "token checked before") < value("guard", "guard", "new token")
    )
    assert value("guard", "guard", "memory of an ended session") > 0
    assert value("guard", "guard", "memory of a cut-off") > 0
    assert value("propagation", "logout", "accepted again") == 0
    assert value("propagation", "logout", "p50") > 0
    assert value("propagation", "cut-off of everybody", "p99") > 0
    assert value("confirmations", "logout", "p50") > 0
    assert value("confirmations", "logout in a storm", "counted too many") == 0
    assert value("cutoffs", "cut-off of a user", "the script") > 0
    assert value("cutoffs", "cut-off of a user", "feed entries") == 1
    hostile = report.of("hostile")
    assert len(hostile) == 8 * (2 * 5 + 1)
    assert all(row.value > 0 for row in hostile if row.metric != "resident")
    topologies = {row.by for row in report.of("topologies")}
    assert topologies == {"one server", "Sentinels", "cluster"}
    busiest = [r.value for r in report.of("workers") if r.metric == "CPU of the busiest worker"]
    assert busiest[0] > busiest[1] / 2 > 0
    assert all(row.value > 0 for row in report.of("memory"))
    assert [row.at for row in report.of("people")] == [0, 2, 20, 200]
    assert value("start", "the service", "CPU × floor") > 1
    assert value("scale", "1 workers on one server", "connections to Redis") > 0
    assert value("fleet", "1 guards on one server", "connections to Redis") > 0


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
