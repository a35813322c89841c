"""docs/guard.md says what the code does."""

import ast
import inspect
import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from tools.testbed.redis_server import REPOSITORY

from service.guard import GuardCounters, Verifier
from service.guard.verifier import Mode, WhenLost
from tests.guard import django_site

PAGE = (REPOSITORY / "docs/guard.md").read_text(encoding="utf-8")
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("source", CODE)
def test_what_is_shown_can_be_imported(
    source: str, guard_wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every name, from where the page says; and each piece is Python."""
    monkeypatch.syspath_prepend(guard_wheel)
    django_site.configure()
    imports = [node for node in ast.parse(source).body if isinstance(node, ast.ImportFrom)]
    for statement in imports:
        exec(ast.unparse(statement), {})


def test_every_counter_and_mode_is_explained() -> None:
    """In a table each, and none that does not exist."""
    rows = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", PAGE, re.M))))
    rows -= {"mode", "when_lost"}
    counters = {field.name for field in msgspec.structs.fields(GuardCounters)}
    assert rows == counters | set(get_args(Mode)) | set(get_args(WhenLost))


def test_the_defaults_are_those_of_the_code() -> None:
    """The ones that the page names."""
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(Verifier).parameters.items()
    }
    assert f"`{defaults['mode']}` (default)" in PAGE
    assert f"`{defaults['when_lost']}` (default)" in PAGE
    assert f"`bound` is {defaults['bound'].seconds} s" in PAGE
    assert f"up to {defaults['access_ttl'].seconds // 60} minutes" in PAGE
