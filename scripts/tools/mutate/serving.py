"""Running the tests that one process has collected many times, each time in a fork of it.

Collecting and importing take seconds, which a mutant that dies at its first test need not pay.
"""

import os
import select
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from tools.mutate.imports import CALLED
from tools.mutate.patching import patch

Verdict = Literal["killed", "survived", "hung", "unpatched"]

PIPES = "MUTATION_PIPES"
"""The variable that names two file descriptors: where orders come from, where reports go to."""

_UNPATCHED = 77
_SURE, _UNSURE = _PASSED = "passed", "passed, maybe"


class Order(msgspec.Struct, frozen=True):
    """Run the tests with `source` in place of `original`; where `path` is empty, as they are."""

    path: str
    original: str
    source: str
    first: tuple[str, ...]
    patience: float


class Report(msgspec.Struct, frozen=True):
    """What came of it, and which tests have failed."""

    verdict: Verdict
    failed: tuple[str, ...]
    unsure: bool = False
    """It has survived, but what had run before it was there may have hidden it."""


def serve(session: pytest.Session) -> None:
    """Take orders until there are no more."""
    CALLED.stop()
    reading, writing = map(int, os.environ[PIPES].split())
    with os.fdopen(reading) as orders, os.fdopen(writing, "w") as reports:
        reports.write("collected\n")
        reports.flush()
        for line in orders:
            report = _carry_out(session, msgspec.json.decode(line, type=Order))
            reports.write(msgspec.json.encode(report).decode() + "\n")
            reports.flush()


def _carry_out(session: pytest.Session, order: Order) -> Report:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.close(reading)
        _run_and_exit(session, order, writing)
    os.close(writing)
    told, ended = _read(reading, time.monotonic() + order.patience)
    os.close(reading)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # the servers that the tests have started, too
    _, status = os.waitpid(child, 0)
    failed = tuple(told.decode().splitlines())
    if not ended:
        return Report("hung", failed)
    if os.waitstatus_to_exitcode(status) == _UNPATCHED:
        return Report("unpatched", ())
    if failed and failed[-1] in _PASSED:
        return Report("survived", (), failed[-1] == _UNSURE)
    return Report("killed", failed)


def _read(pipe: int, until: float) -> tuple[bytes, bool]:
    """Read what comes out of a pipe, and whether it was closed before the time."""
    found = b""
    while select.select([pipe], [], [], max(until - time.monotonic(), 0))[0]:
        more = os.read(pipe, 65536)
        if not more:
            return found, True
        found += more
    return found, False


def _run_and_exit(session: pytest.Session, order: Order, writing: int) -> None:
    """Run the tests until one fails, and never return."""
    code, passed = 1, _SURE
    try:
        changed = patch(Path(order.path), order.original, order.source) if order.path else ()
        if any((order.path, name) in CALLED for name in changed):
            passed = _UNSURE
        if order.path and not changed:
            code = _UNPATCHED
        else:
            rank = {test: at for at, test in enumerate(order.first)}
            items = sorted(session.items, key=lambda it: rank.get(it.nodeid, len(rank)))
            for at, item in enumerate(items):
                after = items[at + 1] if at + 1 < len(items) else None
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
                if session.testsfailed:
                    os.write(writing, item.nodeid.encode() + b"\n")
                    break
            else:
                os.write(writing, passed.encode() + b"\n")
                code = 0
    finally:
        os._exit(code)
