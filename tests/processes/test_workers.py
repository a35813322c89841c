"""Several worker processes: what kills or hangs one of them, or their parent."""

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tools.testbed.forked import Running
from tools.testbed.waiting import eventually

from tests.processes.program import Program, is_alive, wait_until
from tests.processes.test_up import HalfSent, sign_up
from tests.support.callers import Crowd, crowd

Start = Callable[..., Program]

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")

NAME = "openshow-worker"

IMPATIENT = """
import sys
from service.cli.program import main
from service.serving import workers
workers.HUNG = 2.0
sys.exit(main(["serve"]))
"""


def workers_of(program: Program | Running) -> list[int]:
    """The process ids of the workers that run."""
    children = children_of(program.pid)
    return [pid for pid, name in children if name == NAME and is_alive(pid)]


def children_of(parent: int) -> list[tuple[int, str]]:
    """The process ids of children, and their names."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            ppid = (directory / "stat").read_text().rpartition(")")[2].split()[1]
            name = (directory / "comm").read_text().strip()
        except OSError:  # it has just ended
            continue
        if int(ppid) == parent:
            found.append((int(directory.name), name))
    return found


def start_two(start: Start, *command: str, **settings: str) -> tuple[Program, str, list[int]]:
    """A service with two workers, its address, and theirs."""
    common = {"SERVICE_LOG_LEVEL": "warning", "SERVICE_RATE_LIMIT": "off"}  # crowds refresh a lot
    program = start(*command, SERVICE_WORKERS="2", **common, **settings)
    url = program.wait_for(r"serves on (http://\S+)")
    return program, url, workers_of(program)


def test_a_killed_parent_leaves_no_worker(start: Start) -> None:
    """kill -9 of the parent: open requests are answered, then the port is free for the next."""
    program, url, workers = start_two(start)
    assert len(workers) == 2
    with program.client() as client:
        headers = sign_up(client)
        open_request = HalfSent(client)
    program.send(signal.SIGKILL)
    assert open_request.finish() == b"HTTP/1.1 201 Created"
    wait_until(lambda: not any(map(is_alive, workers)), "the workers end")
    port = httpx.URL(url).port or 0
    with socket.socket() as probe:  # without SO_REUSEADDR nothing may listen here
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
    with start(SERVICE_PORT=str(port)).client() as client:
        assert client.get("/auth/me", headers=headers).status_code == 200


def test_a_killed_parent_ends_workers_that_are_only_starting(start: Start) -> None:
    """Also those that do not serve yet."""
    program = start(SERVICE_WORKERS="2")
    wait_until(lambda: workers_of(program), "a worker is being started")
    workers = workers_of(program)
    program.send(signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, workers)), "the workers end")


async def test_a_killed_worker_is_replaced(start: Start) -> None:
    """kill -9 of a worker: what it was at is lost, nothing else, and soon there are two again."""
    program, url, workers = start_two(start)
    async with crowd(url, size=8, pause=0.02) as callers:  # another one must be able to start
        await eventually(lambda: answered(callers, 20))
        os.kill(workers[0], signal.SIGKILL)
        with callers.calm():
            await eventually(lambda: has_others(program, {workers[1]}, 2))
        enough = max(sum(caller.answers.values()) for caller in callers.callers) + 50
        await eventually(lambda: answered(callers, enough))
    assert set(callers.answers) == {200}
    assert len(callers.lost) <= len(callers.callers)
    assert callers.refused == 0
    assert program.stop() == 0


async def answered(callers: Crowd, times: int) -> bool:
    return all(sum(caller.answers.values()) >= times for caller in callers.callers)


async def has_others(program: Program, kept: set[int], count: int) -> bool:
    now = set(workers_of(program))
    return len(now) == count and kept < now


def test_a_hung_worker_is_replaced(start: Start) -> None:
    """One that is there but whose event loop does not turn any more; meanwhile the other serves."""
    program, url, workers = start_two(start, "-c", IMPATIENT)
    os.kill(workers[0], signal.SIGSTOP)
    wait_until(lambda: workers[0] not in workers_of(program), "it is killed")
    wait_until(lambda: len(workers_of(program)) == 2, "there are two again")
    assert workers[1] in workers_of(program)
    assert '"cause":"hung' in program.output
    assert httpx.get(f"{url}/health/live").status_code == 200
    assert program.stop() == 0


def test_a_hung_worker_does_not_hold_up_the_stop(start: Start) -> None:
    """It is killed when the others have long drained; the whole takes less than ten seconds."""
    program, _, workers = start_two(start)
    os.kill(workers[0], signal.SIGSTOP)
    assert program.stop() == 0
    assert not any(map(is_alive, workers))


def test_a_worker_that_cannot_be_replaced_is_tried_again(start: Start) -> None:
    """With the user store gone no worker can start or make another. The other serves on."""
    program, url, workers = start_two(start)
    with program.client() as client:
        headers = sign_up(client)
    store = program.data_dir / "service.db"
    aside = store.rename(store.with_suffix(".aside"))
    os.kill(workers[0], signal.SIGKILL)
    wait_until(lambda: program.output.count('"worker lost"') >= 2, "another try fails")
    assert workers_of(program)[0] == workers[1]
    assert not store.exists()
    aside.rename(store)
    wait_until(lambda: len(workers_of(program)) == 2, "there are two again")
    for _ in range(10):
        assert httpx.get(f"{url}/auth/me", headers=headers).status_code == 200
    assert program.stop() == 0
