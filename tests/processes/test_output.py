"""What surrounds the process: who reads its output, what is closed, which signals come."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import httpx
import pytest
from tools.testbed.forked import ForkedProgram, run_command
from tools.testbed.ports import free_port

from tests.processes.program import REPOSITORY, Program, is_alive, server_pid, wait_until
from tests.processes.test_workers import Start, workers_of

NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


def environment(directory: Path, **settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SERVICE_")}
    ours = {"SERVICE_ENV": "test", "SERVICE_BCRYPT_COST": "4", "SERVICE_PORT": "0"}
    return kept | ours | {"SERVICE_DATA_DIR": str(directory / "var")} | settings


class Unread:
    """A service whose output goes into a pipe that is read only when a test asks for it."""

    def __init__(self, directory: Path, workers: str) -> None:
        self.reader, writer = os.pipe()
        settings = environment(directory, SERVICE_WORKERS=workers)
        self.process = ForkedProgram("service", ["serve"], REPOSITORY, settings, writer)
        os.close(writer)
        self.text = b""
        while b"takes you on" not in self.text:
            more = os.read(self.reader, 65_536)
            assert more, self.text
            self.text += more
        found = re.search(rb"serves on (http://\S+)", self.text)
        assert found
        self.url = found[1].decode()

    def read(self) -> bytes:
        """What has come up to now."""
        os.set_blocking(self.reader, False)
        with suppress(BlockingIOError):
            while more := os.read(self.reader, 65_536):
                self.text += more
        return self.text


@pytest.fixture
def unread(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Unread]:
    service = Unread(tmp_path, request.param)
    yield service
    if service.process.poll() is None:
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()
    with suppress(FileNotFoundError, ProcessLookupError):
        os.kill(server_pid(tmp_path / "var"), signal.SIGKILL)
    os.close(service.reader)


def answers(url: str, count: int) -> None:
    """Have so many requests answered, each a hundred of them at once on one connection."""
    asked = b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n"
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port or 80), timeout=60) as connection:
        while count:
            several = min(count, 100)
            connection.sendall(asked * several)
            received = b""
            while received.count(b"HTTP/1.1 200 OK\r\n") < several:
                more = connection.recv(65_536)
                assert more, received
                received += more
            count -= several


@pytest.mark.parametrize("unread", ["1"], indirect=True)
def test_a_reader_that_stops_stops_nothing(unread: Unread) -> None:
    """Calls go on, the end takes its time and no more; once it reads again it is told."""
    answers(unread.url, 4000)
    metrics = httpx.get(f"{unread.url}/metrics", timeout=20).text
    [dropped] = re.findall(r"openshow_log_lines_dropped_total (\d+)\.0", metrics)
    assert int(dropped) > 500
    wait_until(lambda: b"lines dropped" in unread.read(), "it is told")
    answers(unread.url, 1)
    answered = 4000 + 1 + 1
    wait_until(lambda: unread.read().count(b'"request"') > 0, "lines come again")
    lines = [json.loads(line) for line in unread.text.splitlines() if line.startswith(b"{")]
    said = sum(line.get("dropped", 0) for line in lines)

    def all_there() -> bool:
        unread.read()
        return unread.text.count(b'"event":"request"') + said == answered

    wait_until(all_there, "each line is written or counted")
    answers(unread.url, 4000)
    began = time.monotonic()
    unread.process.send_signal(signal.SIGTERM)
    assert unread.process.wait(20) == 0
    assert time.monotonic() - began < 12


@pytest.mark.parametrize("unread", ["2"], indirect=True)
def test_workers_are_replaced_while_nobody_reads(unread: Unread) -> None:
    """The parent acts, whatever becomes of its line."""
    answers(unread.url, 1500)  # far more than a pipe holds
    first = _workers(unread)
    os.kill(first[0], signal.SIGKILL)
    wait_until(lambda: len({*_workers(unread)} - {*first}) == 1, "another in its place")
    unread.process.send_signal(signal.SIGTERM)
    assert unread.process.wait(20) == 0


def _workers(service: Unread) -> list[int]:
    class Parent:
        pid = service.process.pid

    return workers_of(Parent)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("closed", "settings"),
    [
        ("<&- >&- 2>&-", {"SERVICE_WORKERS": "2"}),
        (">&-", {}),
        ("", {"PYTHONIOENCODING": "ascii"}),
    ],
)
def test_starts_whatever_its_output_is(
    start: Start, tmp_path: Path, closed: str, settings: dict[str, str]
) -> None:
    """Closed descriptors are no reason to end, nor is a path that ASCII cannot spell."""
    data = tmp_path / "vär"
    null, port = Path(os.devnull), free_port()
    command = f"exec {sys.executable} -m service serve {closed}"
    program = Program(
        data,
        "-c",
        f"import os; os.execv('/bin/sh', ['sh', '-c', {command!r}])",
        **settings | {"SERVICE_PORT": str(port)},
    )
    try:
        lock = data / "redis" / "server.lock"
        wait_until(lambda: null.exists() and lock.exists() and lock.read_text(), "Valkey runs")
        wait_until(lambda: _listens(port), "it listens")
        assert program.stop() == 0
        assert "Traceback" not in program.output
        if not closed:
            assert "v\\xe4r" in program.output
    finally:
        program.clear_away()


def _listens(port: int) -> bool:
    """Whether somebody listens there. /proc would tell who, but of the service to root alone."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_signals_without_a_meaning_end_nothing(start: Start, workers: str) -> None:
    """They would end it without a drain, and leave Valkey behind. SIGQUIT asks it to stop."""
    program = start(SERVICE_WORKERS=workers)
    url = program.wait_for(r"serves on (http://\S+)")
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM):
        program.send(number)
        for worker in workers_of(program):
            os.kill(worker, number)
    before = workers_of(program)
    answers(url, 20)
    assert workers_of(program) == before
    assert program.stop(signal.SIGQUIT) == 0
    assert not is_alive(server_pid(program.data_dir))


@pytest.mark.skipif(
    not shutil.which("unshare") or os.geteuid() != 0, reason="needs a PID namespace of its own"
)
@pytest.mark.parametrize("delay", [0.5, 1.5])
def test_process_1_hears_an_early_signal(tmp_path: Path, delay: float) -> None:
    """During the imports, too: the kernel tells process 1 nothing that it has no handler for."""
    service = subprocess.Popen(
        [*NAMESPACE, sys.executable, "-X", "importtime", "-m", "service", "serve"],
        cwd=REPOSITORY,
        env=environment(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        assert service.stderr
        while b"service.cli" not in service.stderr.readline():
            pass
        time.sleep(delay)  # the fault itself: at different points of the imports and the start
        children = Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGTERM)
        service.communicate(timeout=25)
        assert service.returncode == 0
    finally:
        service.kill()
        service.wait()


def test_a_root_that_takes_no_temporary_files(start: Start, tmp_path: Path) -> None:
    """One line that says what to set, before any key is made."""
    code = (
        "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/proc/absent']\n"
        "import sys; from service.cli.program import main; sys.exit(main(['serve']))"
    )
    program = start("-c", code, SERVICE_WORKERS="2")
    assert program.exit_code() == 2
    assert re.fullmatch(r"openshow-auth: .*SERVICE_WORKERS.*TMPDIR.*\n", program.output)
    assert not (program.data_dir / "local.keys").exists()
    assert not is_alive(server_pid(program.data_dir))


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["status", "--help"])
def test_a_command_ends_as_it_does_whoever_reads(
    tmp_path: Path, command: str, unbuffered: str
) -> None:
    """Proves that a reader that has gone ends no command half-way, with no traceback, and that one
    whose output finds no room on the disk says so."""
    given = environment(tmp_path, PYTHONUNBUFFERED=unbuffered)

    def run(*arguments: str, output: int | BinaryIO) -> tuple[int, list[str]]:
        program = [sys.executable, "-m", "service", *arguments]
        done = subprocess.run(
            program, cwd=REPOSITORY, env=given, stdout=output, stderr=subprocess.PIPE, text=True
        )
        return done.returncode, done.stderr.splitlines()

    made = run_command(["migrate"], given)
    assert (made.returncode, made.stderr) == (0, "")
    read = run_command(["keys", command], given)
    assert (read.returncode, read.stderr) == (0, "")
    reader, writer = os.pipe()
    os.close(reader)
    assert run("keys", command, output=writer) == (0, [])
    os.close(writer)
    with Path("/dev/full").open("wb") as full:
        code, said = run("keys", command, output=full)
    if command == "status":
        told = "openshow-auth: the output could not be written: No space left on device"
        assert (code, said) == (1, [told])
    else:  # argparse ends by itself
        assert (code, said) == (0, [])
