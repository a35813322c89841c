"""What scripts/mutate changes, and that it changes nothing else."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tools.mutate.__main__ import ROOT, _mutants
from tools.mutate.mutants import of_module, of_script
from tools.mutate.patching import patch
from tools.mutate.serving import Order, Report
from tools.mutate.targets import EQUIVALENT, TARGETS, chosen
from tools.mutate.trial import Collected

PYTHON = '''
"""A docstring of 3 words."""
def f(a: "int" = 1) -> bool:
    log.info("told", n=2)
    if a < 3 and not g(a):
        raise Wrong("at 4")
    return True


class C(Struct, frozen=True):
    n: int
'''

LUA = """\
local a = ARGV[3] -- 7 < 8
if a == 'x' then
  redis.call('SET', KEYS[1], a, 'PX', 9)
end
return 5, 5"""

TESTS = """
import pytest

@pytest.mark.parametrize("redis_server", ["valkey", "redis"])
def test_a(redis_server): pass

def test_b(): pass
"""


def test_each_python_mutant_changes_one_thing() -> None:
    """Comparison, condition, number, negation, raise: each is turned around once."""
    found = {mutant.change: mutant.source for mutant in of_module("f.py", PYTHON)}
    assert set(found) == {
        '1 + 1 in def f(a: "int" = 1) -> bool:',
        "never a < 3 and (not g(a))",
        "a < 3 and (not g(a)) with or",
        "a < 3 with LtE",
        "3 + 1 in if a < 3 and not g(a):",
        "not g(a) without not",
        "without raise Wrong('at 4')",
        "True negated in return True",
    }
    original = ast.unparse(ast.parse(PYTHON)) + "\n"
    for source in found.values():
        ast.parse(source)
        changed = zip(original.splitlines(), source.splitlines(), strict=True)
        assert sum(before != after for before, after in changed) == 1


def test_each_lua_mutant_changes_one_line() -> None:
    """The places of arguments, and comments, stay as they are."""
    found = {mutant.change: mutant.source for mutant in of_script("f.lua", LUA)}
    assert set(found) == {
        "== → ~= in if a == 'x' then",
        "never a == 'x'",
        "9 → 10 in redis.call('SET', KEYS[1], a, 'PX', 9)",
        "without redis.call('SET', KEYS[1], a, 'PX', 9)",
        "5 → 6 in return 5, 5",
        "5 → 6 in return 5, 5, place 2",
    }
    for source in found.values():
        changed = zip(LUA.splitlines(), source.splitlines(), strict=True)
        assert sum(before != after for before, after in changed) == 1


def test_every_target_is_there() -> None:
    """A room that was renamed would be left out without a word."""
    for pattern, tests in TARGETS.items():
        assert list(ROOT.glob(pattern)), pattern
        assert all((ROOT / test).exists() for test in tests), tests
    assert next(chosen(ROOT, ["rotate.lua"]))


def test_every_equivalent_mutant_is_there() -> None:
    """A line that was changed takes its excuse with it."""
    there = {
        (mutant.path, mutant.change)
        for path in {path for path, _ in EQUIVALENT}
        for mutant in _mutants(Path(path))
    }
    assert set(EQUIVALENT) <= there


def test_a_mutant_is_put_into_what_is_imported(tmp_path: Path, monkeypatch: Any) -> None:
    """A function is, and where that cannot be, of what runs at import, it is said."""
    original = "LIMIT = 3\n\ndef low(n):\n    return n < LIMIT\n"
    path = tmp_path / "mutated_module.py"
    path.write_text(original)
    monkeypatch.syspath_prepend(tmp_path)
    low = importlib.import_module("mutated_module").low
    assert not low(3)
    assert not patch(path, original, original.replace("= 3", "= 4"))
    assert not low(3)
    assert patch(path, original, original.replace("<", "<="))
    assert low(3)


def test_only_one_server(tmp_path: Path) -> None:
    """What runs for each mutant: Valkey and SQLite."""
    (tmp_path / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:valkey"]
    paths = os.pathsep.join((str(ROOT), str(ROOT / "scripts")))
    ran = subprocess.run(
        [*command, "-p", "tools.mutate.selection"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    passed = [line.split(" ")[0] for line in ran.stdout.splitlines() if " PASSED" in line]
    assert passed == ["test_it.py::test_a[valkey]", "test_it.py::test_b"]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all these processes import, compiled once: that takes most of their time."""
    return tmp_path_factory.mktemp("pyc")


@pytest.fixture
def workspace(tmp_path: Path, compiled: Path) -> Path:
    """A directory with a copy of the repository, which is the repository itself."""
    (tmp_path / "copy").symlink_to(ROOT)
    (tmp_path / "pyc").symlink_to(compiled)
    return tmp_path


def test_the_likeliest_comes_first(workspace: Path) -> None:
    """What has noticed something is run before the others, and the first that fails ends it."""
    file = workspace / "test_it.py"
    file.write_text("def test_a(): assert False\n\ndef test_b(): assert False\n")
    collected = Collected(workspace, "kept", (str(file),))
    try:
        [first] = collected.run(Order("", "", "", (), 60)).failed
        other = first.replace("test_a", "test_b")
        assert first != other
        assert collected.run(Order("", "", "", (other,), 60)) == Report("killed", (other,))
    finally:
        collected.close()


def test_what_cannot_be_collected_is_said(workspace: Path) -> None:
    """A mutant that cannot even be imported: its tests fail, and nobody waits for them."""
    file = workspace / "test_it.py"
    file.write_text("raise RuntimeError\n")
    with pytest.raises(RuntimeError, match="cannot be collected"):
        Collected(workspace, "kept", (str(file),))


def test_what_ran_before_the_mutant_makes_it_unsure(workspace: Path) -> None:
    """Of a function that runs at import a fork cannot tell; of any other it can, at once."""
    module = workspace / "service" / "some_module.py"
    module.parent.mkdir()
    source = "def early():\n    return 1\n\ndef late():\n    return 2\n\nONE = early()\n"
    module.write_text(source)
    file = workspace / "test_it.py"
    file.write_text(
        f"import sys\nsys.path.append({str(module.parent)!r})\nimport some_module\n"
        "def test_it(): assert some_module.ONE == 1\n"
    )
    collected = Collected(workspace, "kept", (str(file),))
    try:
        for number, unsure in ((1, True), (2, False)):
            mutant = source.replace(f"return {number}", "return 9")
            order = Order(str(module), source, mutant, (), 60)
            assert collected.run(order) == Report("survived", (), unsure)
    finally:
        collected.close()
