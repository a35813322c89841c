"""What is mutated, and what need not be noticed: `targets.toml` and `equivalent.toml`."""

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tools.mutate.mutants import Mutant

Tests = tuple[str, ...]


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))


TARGETS: dict[str, Tests] = {
    pattern: tuple(tests)
    for patterns, tests in _read("targets.toml").items()
    for pattern in patterns.split()
}
"""By pattern, under the repository: the tests that should notice a change."""

EQUIVALENT: dict[tuple[str, str], str] = {
    (path, change): reason
    for path, changes in _read("equivalent.toml").items()
    for change, reason in changes.items()
}
"""By path and change: why nobody could notice it."""


def chosen(root: Path, only: Sequence[str]) -> Iterator[tuple[Path, Tests]]:
    """Choose files with their tests, each once; `only`: parts of paths, none for all."""
    seen = set()
    for pattern, tests in TARGETS.items():
        for path in sorted(root.glob(pattern)):
            if path in seen or path.name == "__init__.py":
                continue
            seen.add(path)
            name = str(path.relative_to(root))
            if not only or any(part in name for part in only):
                yield path.relative_to(root), tests


def is_equivalent(mutant: Mutant) -> bool:
    """Whether this mutant is known to have no effect."""
    return (mutant.path, mutant.change) in EQUIVALENT
