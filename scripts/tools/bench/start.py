"""The start of a worker, until its first answer, beside that of an empty app.

Redis runs and the tables are up to date, as where one pod of several is started anew; files are in
the page cache, and everything is compiled. Service and empty app start in turn.
"""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from statistics import median

import msgspec

from tools.bench.harness import Place, place
from tools.bench.processes import HOST, BenchmarkError, embedded
from tools.bench.results import Found, Row
from tools.http_load.proc import cpu
from tools.report.progress import StatusLine
from tools.testbed.ports import free_port
from tools.testbed.redis_server import REPOSITORY

_LOOKS_EACH = 0.005  # seconds between two tries for an answer
_LONGEST = 120.0  # seconds
_SERVICE, _EMPTY = "the service", "an empty app, the floor"
_TARGET = 1000.0  # ms


class _Start(msgspec.Struct, frozen=True):
    """What a start took until the first answer, in seconds."""

    wall: float
    cpu: float


async def measure(told: Namespace, tell: StatusLine) -> Found:
    """Measure rounds of both, in turn; where there are several, after one that fills the caches."""
    starts: dict[str, list[_Start]] = {_EMPTY: [], _SERVICE: []}
    steps: list[Mapping[str, Sequence[float]]] = []
    async with place(embedded(told.redis)) as here:
        for name in starts if told.rounds > 1 else ():
            _started(here, name)
        for _ in tell.rounds(told.rounds, "a start"):
            for name, several in starts.items():
                several.append(_started(here, name))
            steps.append(_steps(here))
    note = (
        f"Medians of {told.rounds} starts, in turn. Redis runs, tables are up to date, all is "
        "compiled and read before. "
    )
    taken = ", ".join(
        f"{name} {median(each[name][0] for each in steps) * 1e3:.0f}" for name in steps[0]
    )
    return Found(_rows(starts), {"start": f"{note}CPU of the steps, ms: {taken}."})


def _started(here: Place, name: str) -> _Start:
    """Start it, ask until it answers, and end it."""
    port = free_port()
    environment = _environment(here) | {"SERVICE_PORT": str(port)}
    is_service = name == _SERVICE
    arguments = ("service", "serve") if is_service else ("tools.bench.empty_app", str(port))
    with (here.directory / "start.log").open("wb") as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=REPOSITORY,
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            while not _answers(port, "/health/live" if is_service else "/"):
                if process.poll() is not None or time.perf_counter() - began > _LONGEST:
                    raise BenchmarkError(f"{name} did not start")
                time.sleep(_LOOKS_EACH)
            return _Start(time.perf_counter() - began, cpu(process.pid))
        finally:
            process.terminate()
            process.wait()


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=_LONGEST)
    with contextlib.closing(connection), contextlib.suppress(OSError):
        connection.request("GET", path)
        return connection.getresponse().status == 200
    return False


def _steps(here: Place) -> Mapping[str, Sequence[float]]:
    """Have a process take the steps, and read CPU and wall time of each, in seconds."""
    found: Mapping[str, Sequence[float]] = json.loads(
        subprocess.run(
            [sys.executable, "-m", "tools.bench.start_steps"],
            cwd=REPOSITORY,
            env=_environment(here),
            check=True,
            stdout=subprocess.PIPE,
        ).stdout
    )
    return found


def _environment(here: Place) -> dict[str, str]:
    paths = os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "scripts")))
    ours = {name: value for name, value in os.environ.items() if name[:8] != "SERVICE_"}
    return ours | here.environment | {"PYTHONPATH": paths}


def _rows(starts: Mapping[str, Sequence[_Start]]) -> list[Row]:
    rows = []
    for name, several in starts.items():
        like = Row("start", name, "", 0)
        wall, spent = (
            round(median(getattr(each, what) for each in several) * 1e3) for what in ("wall", "cpu")
        )
        limit = _TARGET if name == _SERVICE else None
        rows.append(like.figure("to the first answer", wall, "ms", limit))
        rows.append(like.figure("CPU", spent, "ms"))
    ratio = median(
        ours.cpu / floor.cpu for ours, floor in zip(starts[_SERVICE], starts[_EMPTY], strict=True)
    )
    rows.append(Row("start", _SERVICE, "CPU × floor", round(ratio, 2)))
    return rows
