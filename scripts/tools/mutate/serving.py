"""Running the tests that one process has collected many times, each time in a fork of it.

Collecting and importing take seconds, which a mutant that dies at its first test need not pay.
"""

import os
import signal
from contextlib import suppress
from itertools import zip_longest
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from tools.mutate.imports import CALLED
from tools.mutate.patching import patch

Verdict = Literal["killed", "survived", "hung", "unpatched"]

ORDERS = "MUTATION_ORDERS"
"""The variable that names the descriptor where orders come from, and reports go to."""


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
    failed: tuple[str, ...] = ()
    unsure: bool = False
    """It has survived, but what had run before it was there may have hidden it."""


def serve(session: pytest.Session) -> None:
    """Take orders until there are no more. The first message says that tests are collected."""
    CALLED.stop()
    with Connection(int(os.environ[ORDERS])) as orders, suppress(EOFError):
        orders.send("collected")
        while True:
            orders.send(_carry_out(session, orders.recv()))


def _carry_out(session: pytest.Session, order: Order) -> Report:
    told, telling = Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        os.setsid()
        _run_and_exit(session, order, telling)
    telling.close()
    report = Report("hung")
    with told, suppress(EOFError):
        if told.poll(order.patience):
            report = Report("killed")  # unless it has ended with a word
            report = told.recv()
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # the servers that the tests have started, too
    os.waitpid(child, 0)
    return report


def _run_and_exit(session: pytest.Session, order: Order, telling: Connection) -> None:
    """Run the tests until one fails, tell what came of it, and never return."""
    try:
        telling.send(_run(session, order))
    finally:
        os._exit(0)


def _run(session: pytest.Session, order: Order) -> Report:
    changed = patch(Path(order.path), order.original, order.source) if order.path else ()
    if order.path and not changed:
        return Report("unpatched")
    rank = {test: at for at, test in enumerate(order.first)}
    items = sorted(session.items, key=lambda it: rank.get(it.nodeid, len(rank)))
    for item, after in zip_longest(items, items[1:]):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        if session.testsfailed:
            return Report("killed", (item.nodeid,))
    return Report("survived", unsure=any((order.path, name) in CALLED for name in changed))
