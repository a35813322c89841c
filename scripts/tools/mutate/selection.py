"""A pytest plugin: tests on one server and one store only, those first that are soon over.

That a mutant dies on every topology would be proven at many times the cost.
"""

import os
from pathlib import Path

import pytest

from tools.mutate import serving

FIRST = "MUTATION_FIRST"
"""The variable that names a file of test ids, the likeliest to fail first."""

IN_PROCESS = "MUTATION_IN_PROCESS"
"""The variable that leaves out all tests that start a process of the service."""

_ONE = {"redis_server": "valkey", "new_user_store": "sqlite"}
_SLOW = frozenset(
    {"shared_service", "strict_service", "brief_service", "shared_neighbour", "shared_brief"}
)
"""Fixtures that start a process of the service."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out other servers and stores; put the likeliest first, then what starts no process."""
    quick = IN_PROCESS in os.environ
    left_out = {
        id(item): item for item in items if not _is_kept(item) or (quick and _is_slow(item))
    }
    config.hook.pytest_deselected(items=list(left_out.values()))
    first: list[str] = []
    if FIRST in os.environ:
        first = Path(os.environ[FIRST]).read_text(encoding="utf-8").splitlines()
    rank = {test: at for at, test in enumerate(first)}
    kept = [item for item in items if id(item) not in left_out]
    items[:] = sorted(kept, key=lambda item: (rank.get(item.nodeid, len(rank)), _is_slow(item)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run them as often as is asked for, where somebody asks."""
    if serving.PIPES not in os.environ or session.testsfailed:
        return None
    serving.serve(session)
    return True


def _is_kept(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    params = callspec.params if callspec else {}
    return all(params.get(name, value) == value for name, value in _ONE.items())


def _is_slow(item: pytest.Item) -> bool:
    return not _SLOW.isdisjoint(getattr(item, "fixturenames", ()))
