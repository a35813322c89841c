"""A pytest plugin: tests on one server and one store only, those first that have noticed something.

That a mutant dies on every topology would be proven at many times the cost.
"""

import os
from pathlib import Path

import pytest

FIRST = "MUTATION_FIRST"
"""The variable that names a file of test ids, the likeliest to fail first."""

_ONE = {"redis_server": "valkey", "new_user_store": "sqlite"}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out other servers and stores; put the likeliest first."""
    left_out = [item for item in items if not _is_kept(item)]
    config.hook.pytest_deselected(items=left_out)
    first = Path(os.environ[FIRST]).read_text(encoding="utf-8").splitlines()
    rank = {test: at for at, test in enumerate(first)}
    kept = [item for item in items if item not in left_out]
    items[:] = sorted(kept, key=lambda item: rank.get(item.nodeid, len(rank)))


def _is_kept(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    params = callspec.params if callspec else {}
    return all(params.get(name, value) == value for name, value in _ONE.items())
