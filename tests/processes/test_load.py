"""`scripts/load`: what it sends, what it counts, how it judges, and what it refuses."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tools.testbed.redis_server import RedisServer, available
from tools.testbed.service_process import PASSWORD, PATIENT, ServiceProcess
from tools.testbed.waiting import wait_until

from tests.processes.program import REPOSITORY
from tests.support.load_stub import Stub

QUICK = ("--warm-up", "300ms", "--duration", "1500ms", "--rate", "60", "--people", "8")
LATE = ("--late", "5s")
"""A busy machine is no reason to fail: here it is not the figures that count."""


def environment() -> dict[str, str]:
    """With both roots of modules, as in the wrapper."""
    roots = os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "scripts")))
    return os.environ | {"PYTHONPATH": roots}


def load(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run it to its end."""
    return subprocess.run(
        [sys.executable, "-m", "tools.load", *arguments],
        env=environment(),
        **{"stdin": subprocess.DEVNULL, "capture_output": True} | options,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """The service, started once."""
    directory = tmp_path_factory.mktemp("loaded")
    server = RedisServer(available()["valkey"], directory).start()
    service = ServiceProcess(directory, server.url, **PATIENT).start()
    yield service
    assert service.stop() == 0
    server.stop()


@pytest.fixture
def stub() -> Iterator[Stub]:
    """A server that answers as the service does, or as a test wants it to."""
    with Stub() as stub:
        yield stub


@pytest.mark.parametrize(
    ("mix", "calls"),
    [
        ("browse", {"me", "refresh"}),
        ("mixed", {"me", "refresh"}),  # of a hundred arrivals five are logouts: there may be none
        ("logout-storm", {"me", "refresh", "logout"}),
        ("login-storm", {"me", "refresh", "login"}),
        ("enrolment", {"me", "enable", "verify", "disable"}),
    ],
)
def test_each_mix_runs(running: ServiceProcess, tmp_path: Path, mix: str, calls: set[str]) -> None:
    """Against the service, without an error; every call of the mix is in the figures."""
    file, page = tmp_path / "report.json", tmp_path / "report.html"
    process = running.process
    assert process
    watch = ("--watch-pid", str(process.pid), "--json", str(file), "--html", str(page))
    # Each enrolment is three commits of SQLite: a disk that is busy with others bears few at once.
    rate = ("--rate", "8", "--duration", "4s") if mix == "enrolment" else ()
    done = load(mix, "--host", running.url, *QUICK, *rate, *LATE, *watch)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(file.read_bytes())
    assert calls <= {call["name"] for call in report["calls"] if call["requests"]}
    assert report["total"]["errors"] == 0
    assert report["failures"] == []
    assert report["verdict"] == "pass"
    [watched] = report["watched"]
    assert watched["first_third"] > 2**24
    assert report["generator"]["cpu_us_per_request"] > 0
    kept = done.stdout + done.stderr + file.read_text() + page.read_text()
    for secret in ("osr_", "eyJ", "@load.example", "otpauth"):
        assert secret not in kept


@pytest.mark.parametrize(
    ("thresholds", "code", "says"),
    [
        (("--p99", "10s", "--p99", "me=10s", *LATE), 0, "pass"),
        (("--p50", "me=0.001ms", *LATE), 1, "BROKEN: me p50 ≤ 0.001 ms"),
        (("--p99", "logout=10s", *LATE), 1, "logout p99 ≤ 10000 ms: no such request"),
        (("--late", "0.000001ms"), 2, "the generator could not keep up"),
    ],
)
def test_thresholds_decide(stub: Stub, thresholds: tuple[str, ...], code: int, says: str) -> None:
    """The exit code: 0 all hold, 1 one is broken, 2 the generator was late."""
    done = load("browse", "--host", stub.url, *QUICK, *thresholds)
    assert (done.returncode, says in done.stdout) == (code, True), done.stdout + done.stderr


def test_latencies_count_from_when_requests_were_due(stub: Stub, tmp_path: Path) -> None:
    """A second in which nothing is answered is charged to all who were due meanwhile.

    At a hundred a second that is a third of them. Of those who were let in, it held up two.
    """
    stub.stall_once(after=100, seconds=1)
    file = tmp_path / "report.json"
    done = load(
        "browse", "--host", stub.url, "--rate", "100", "--even", "--warm-up", "0",
        "--duration", "3s", "--people", "2", *LATE, "--json", str(file),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    total = json.loads(file.read_bytes())["total"]
    assert total["requests"] >= 295
    assert total["latencies"]["p95_ms"] > 700


def test_a_generator_that_stops_says_so(stub: Stub, tmp_path: Path) -> None:
    """Frozen for a second, it charges that to its latencies, and gives no pass for them."""
    file = tmp_path / "report.json"
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "tools.load", "browse", "--host", stub.url, "--rate", "100"),
            *("--even", "--warm-up", "0", "--duration", "3s", "--people", "8"),
            *("--json", str(file)),
        ],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as generator:
        wait_until(lambda: stub.seen > 50)
        generator.send_signal(signal.SIGSTOP)
        time.sleep(1)  # the fault itself
        generator.send_signal(signal.SIGCONT)
        said, _ = generator.communicate(timeout=60)
    assert generator.returncode == 2, said
    assert "unusable: the generator could not keep up" in said
    report = json.loads(file.read_bytes())
    assert report["generator"]["late"]["p95_ms"] > 700
    assert report["total"]["latencies"]["p95_ms"] > 700


def test_who_never_gets_an_answer_is_an_error(stub: Stub) -> None:
    """Nobody drops out of the figures by waiting to the end."""
    stub.stall_once(after=20, seconds=60)
    done = load("browse", "--host", stub.url, *QUICK, *LATE, "--timeout", "1s")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "no answer in time" in done.stdout
    assert "no answer in the end" in done.stdout


def test_what_goes_wrong_is_named(stub: Stub) -> None:
    """An unexpected answer is an error, with status and code and nothing else of the body."""
    stub.answers["/auth/me"] = 503
    done = load("browse", "--host", stub.url, *QUICK, *LATE)
    assert done.returncode == 1
    assert "me: 503 service_unavailable:" in done.stdout
    assert "osr_" not in done.stdout


def test_logins_may_be_turned_away_in_a_storm(stub: Stub, tmp_path: Path) -> None:
    """503 with Retry-After is counted apart there; in `mixed` it is an error."""
    stub.answers["/auth/login"] = 503
    file = tmp_path / "report.json"
    done = load("login-storm", "--host", stub.url, *QUICK, *LATE, "--json", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    total = json.loads(file.read_bytes())["total"]
    assert total["shed"] > 0 == total["errors"]


def test_only_this_machine_is_loaded_unasked() -> None:
    """Anything else is refused where nobody can be asked, before a byte is sent."""
    done = load("browse", "--host", "http://192.0.2.1:8000")
    assert done.returncode == 2
    assert "http://192.0.2.1:8000 (192.0.2.1) is not this machine; --yes" in done.stderr


def test_it_asks_on_a_terminal() -> None:
    """Whoever does not say yes has loaded nothing."""
    ours, theirs = os.openpty()
    os.write(ours, b"\n")
    done = load("browse", "--host", "http://192.0.2.1:8000", stdin=theirs)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 2
    assert "[y/N]" in done.stderr
    assert "nothing was sent" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("browse", "--host", "ftp://127.0.0.1"),
        ("browse", "--memory-change", "2%"),
        ("browse", "--tokens", "/nowhere.jsonl"),
        ("browse", "--watch-pid", "999999999"),
        ("logout-storm", "--rate", "1000", "--duration", "10m"),
    ],
)
def test_what_it_cannot_do_it_says(arguments: tuple[str, ...]) -> None:
    """Exit code 2 and a reason, without a traceback."""
    done = load(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].strip()


def people_file(service: ServiceProcess, file: Path, count: int) -> Path:
    """People who have signed up, as `scripts/seed --export` writes them."""
    with httpx.Client(base_url=service.url, timeout=30) as client, file.open("w") as lines:
        for number in range(count):
            email = f"{file.parent.name}-{number}@example.com"
            body = {"email": email, "password": PASSWORD}
            answer = client.post("/auth/signup", json=body).raise_for_status().json()
            line = {
                "user": answer["user"]["id"], "email": email, "password": PASSWORD,
                "session": answer["sessionId"], "refreshToken": answer["refreshToken"],
                "accessToken": "ended", "accessExpiresAt": 0,
            }  # fmt: skip
            lines.write(json.dumps(line) + "\n")
    return file


def test_a_token_of_a_file_is_used_once(running: ServiceProcess, tmp_path: Path) -> None:
    """A second run takes up the chains where the first has left them; a third finds too few.

    The access tokens of the file have ended, so all of them refresh before anything counts.
    """
    file = people_file(running, tmp_path / "people.jsonl", 12)
    given = ("--host", running.url, "--tokens", str(file), *QUICK[:-2], *LATE)
    for _ in range(2):
        done = load("browse", *given, "--people", "12")
        assert done.returncode == 0, done.stdout + done.stderr
    tokens = re.findall(r"osr_[\w-]+", file.read_text())
    assert len(tokens) == 36
    assert len(set(tokens)) > 24  # the second run refreshes by chance
    done = load("logout-storm", *given, "--people", "12")
    assert done.returncode == 2
    assert re.search(r"needs \d+ sessions, 12 are left in the file", done.stderr)


def test_capacity_is_found(stub: Stub, tmp_path: Path) -> None:
    """The rate rises until a threshold breaks; the last that held is the capacity."""
    stub.break_after(150)
    file = tmp_path / "capacity.json"
    done = load(
        "--find-capacity", "browse", "--host", stub.url, "--rate", "50", "--step", "500ms",
        "--warm-up", "100ms", "--people", "4", *LATE, "--p99", "5s", "--json", str(file),
    )  # fmt: skip
    found = json.loads(file.read_bytes())
    assert done.returncode == 0, done.stderr
    assert found["limited_by"] == "service"
    assert found["shares_the_machine"]
    tried = {step["rate"]: step["holds"] for step in found["steps"]}
    assert found["rate"] == max(rate for rate, holds in tried.items() if holds)
    assert not tried[max(tried)]
