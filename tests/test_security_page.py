"""docs/security.md: all requirements are on it, and every test that it names is there."""

import ast
import re

import pytest
from tools.testbed.redis_server import REPOSITORY

PAGE = (REPOSITORY / "docs/security.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if re.match(r"\| \d+ \|", line)
]
IDS = re.compile(r"ASVS (\d+\.)+\d+|RFC \d+|NIST SP 800-63B-4 \d")


def test_all_sixty_are_there() -> None:
    """Once each, in order, with the ids of where they come from."""
    assert [int(row[0]) for row in ROWS] == list(range(1, 61))
    for row in ROWS:
        assert len(row) == 5, row
        assert IDS.search(row[1]), row


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_is_enforced_or_named_as_a_gap(row: list[str]) -> None:
    """What is not proven by a test says so; what is met without a gap names one."""
    _, _, asked, enforced, note = row
    assert asked
    assert enforced or note.startswith(("gap", "in part")), row
    for path, name in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", enforced):
        file = REPOSITORY / path
        assert file.is_file(), path
        assert not name or name in functions(file.read_text(encoding="utf-8")), f"{path}::{name}"


def functions(source: str) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_reference_is_a_test() -> None:
    """Nothing else stands in the column of tests, so that none is overlooked above."""
    for row in ROWS:
        assert re.fullmatch(r"(`tests/[\w/]+\.py(::test_\w+)?`(, )?)*", row[3]), row
