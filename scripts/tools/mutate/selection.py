"""A pytest plugin: tests on one server and one store only, those first that are soon over.

That a mutant dies on every topology would be proven at many times the cost.
"""

import os

import pytest

from tools.mutate import serving
from tools.mutate.imports import CALLED

if serving.ORDERS in os.environ:
    CALLED.start()

IN_PROCESS = "MUTATION_IN_PROCESS"
"""The variable that leaves out all tests that start a process of the service."""

_ONE = {"redis_server": "valkey", "new_user_store": "sqlite"}
_PROCESSES = frozenset({"ServiceProcess", "Popen"})
"""What a test or fixture that starts a process of the service calls."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out other servers and stores; put first what starts no process."""
    quick = IN_PROCESS in os.environ
    left_out = {
        id(item): item for item in items if not _is_kept(item) or (quick and _is_slow(item))
    }
    config.hook.pytest_deselected(items=list(left_out.values()))
    kept = [item for item in items if id(item) not in left_out]
    items[:] = sorted(kept, key=_is_slow)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run them as often as is asked for, where somebody asks."""
    if serving.ORDERS not in os.environ or session.testsfailed:
        return None
    serving.serve(session)
    return True


def _is_kept(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    params = callspec.params if callspec else {}
    return all(params.get(name, value) == value for name, value in _ONE.items())


def _is_slow(item: pytest.Item) -> bool:
    """Whether the test, or a fixture that it uses, starts a process of the service."""
    if not isinstance(item, pytest.Function):
        return False
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    functions = [item.function, *(each.func for several in fixtures for each in several)]
    codes = [getattr(function, "__code__", None) for function in functions]
    return any(code and not _PROCESSES.isdisjoint(code.co_names) for code in codes)
