"""The process that workers are forked from: what it holds, and what becomes of its end."""

import os
import re
import signal
from pathlib import Path

import httpx
import pytest

from tests.processes.program import REPOSITORY, Program, is_alive, wait_until
from tests.processes.test_workers import Start, children_of, start_two, workers_of

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")

RUN = "import sys; from service.cli.program import main; sys.exit(main(['serve']))"
WITHOUT_ADOPTION = f"from service.serving import template; template.prctl = lambda *_: False; {RUN}"
IMPATIENT = f"from service.serving import workers; workers._SLOWEST_START = 12.0; {RUN}"
ELSEWHERE = f"import os, sys; sys.path.insert(0, {str(REPOSITORY)!r}); os.chdir('/'); {RUN}"


def template_of(program: Program) -> int:
    """The process id of the one that workers are forked from."""
    [pid] = (
        pid
        for pid, name in children_of(program.pid)
        if name != "openshow-worker" and b"serving.template" in _told(pid, "cmdline")
    )
    return pid


def _told(pid: int, what: str) -> bytes:
    return Path(f"/proc/{pid}/{what}").read_bytes()


def replaced(program: Program, lost: int) -> None:
    """Kill a worker, and wait until there are two that answer."""
    before = program.output.count('"worker lost"')
    os.kill(lost, signal.SIGKILL)
    wait_until(lambda: program.output.count('"worker lost"') > before, "it is noticed")
    wait_until(lambda: _serving(program) == ["2"], "there are two that serve")


def _serving(program: Program) -> list[str]:
    with program.client() as client:
        return re.findall(r"^openshow_workers (\d+)", client.get("/metrics").text, re.M)


def test_it_holds_nothing(start: Start) -> None:
    """Proves that it has no thread, no socket but that of its parent, and no setting: those of its
    workers stand in no environment that others could read."""
    secrets = {"VAULT_TOKEN": "hvs.secret", "AWS_SECRET_ACCESS_KEY": "secret"}
    program, _, workers = start_two(start, **secrets)
    template = template_of(program)
    assert [*Path(f"/proc/{template}/task").iterdir()] == [
        Path(f"/proc/{template}/task/{template}")
    ]
    open_files = [os.readlink(path) for path in Path(f"/proc/{template}/fd").iterdir()]
    assert len([name for name in open_files if name.startswith("socket:")]) == 1
    for pid in (template, *workers):
        names = {line.partition(b"=")[0] for line in _told(pid, "environ").split(b"\0")}
        assert not [name for name in names if name.startswith((b"SERVICE_", b"VAULT_", b"AWS_"))]


def test_a_worker_imports_nothing(start: Start) -> None:
    """Proves that what a worker starts with has been imported, also what settings ask for."""
    program, _, workers = start_two(start, PYTHONPROFILEIMPORTTIME="1")
    before = program.output.count("import time:")
    assert before > 500
    replaced(program, workers[0])
    imported = [line for line in program.output.splitlines() if line.startswith("import time:")]
    # Litestar tries again and again whether that is there, which it is not.
    assert [line for line in imported[before:] if "opentelemetry" not in line] == []
    assert program.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_without_it_workers_serve_and_the_next_one_starts(
    start: Start, number: signal.Signals
) -> None:
    """It is killed, or told to end, which it does with its parent only: nobody else notices."""
    program, url, workers = start_two(start)
    template = template_of(program)
    os.kill(template, number)
    if number is signal.SIGKILL:
        wait_until(lambda: not is_alive(template), "it ends")
    assert httpx.get(f"{url}/health/live").status_code == 200
    assert workers_of(program) == workers
    replaced(program, workers[0])
    assert workers[1] in workers_of(program)
    assert (template_of(program) == template) is (number is not signal.SIGKILL)
    left = [pid for pid, _ in children_of(program.pid)]
    assert program.stop() == 0
    assert not any(map(is_alive, left))


def test_one_that_hangs_is_replaced(start: Start) -> None:
    """The worker that was asked of it does not come; the next is asked of another."""
    program, _, workers = start_two(start, "-c", IMPATIENT)
    template = template_of(program)
    os.kill(template, signal.SIGSTOP)
    replaced(program, workers[0])
    assert not is_alive(template)
    assert program.stop() == 0


def test_it_ends_with_its_parent(start: Start) -> None:
    """kill -9 of the parent leaves no template either."""
    program, _, _ = start_two(start)
    template = template_of(program)
    program.send(signal.SIGKILL)
    wait_until(lambda: not is_alive(template), "it ends")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_to_all_of_them_stops_in_order(start: Start, number: signal.Signals) -> None:
    """As from a terminal, or a process manager: all end, and none as if it had been lost."""
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("the tests run under nohup, and so does the service")
    program, _, workers = start_two(start)
    left = [pid for pid, _ in children_of(program.pid)]
    assert len(left) == 4  # with Valkey
    os.killpg(program.pid, number)
    assert program.exit_code() == 0
    assert not any(map(is_alive, (*left, *workers)))
    assert "Traceback" not in program.output
    assert "worker lost" not in program.output


def test_workers_draw_different_numbers(start: Start) -> None:
    """Proves that what is forked from one process does not go on with one sequence of numbers."""
    _, url, _ = start_two(start)
    ids = [httpx.get(f"{url}/health/live").headers["x-request-id"] for _ in range(40)]
    assert len({*ids}) == len(ids)


def test_where_nobody_adopts_each_worker_is_a_process_of_its_own(start: Start) -> None:
    """As on systems other than Linux: no fork, and all else as ever."""
    program, _, workers = start_two(start, "-c", WITHOUT_ADOPTION)
    assert len(workers) == 2
    replaced(program, workers[0])
    assert len(workers_of(program)) == 2
    left = [pid for pid, _ in children_of(program.pid)]
    assert program.stop() == 0
    assert not any(map(is_alive, left))


def test_it_finds_what_its_parent_has_found(start: Start) -> None:
    """A program that adds its own directory to the path, as `.venv/bin/openshow-auth`, anywhere."""
    program, _, workers = start_two(start, "-P", "-c", ELSEWHERE)
    assert len(workers) == 2
    assert b"-P" in _told(template_of(program), "cmdline").split(b"\0")
    assert program.stop() == 0
