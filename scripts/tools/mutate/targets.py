"""What is mutated: the modules whose loss would cost a person their account, and their tests."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec


class Target(msgspec.Struct, frozen=True):
    """Files, as a pattern under the repository, and the tests that should notice a change."""

    pattern: str
    tests: tuple[str, ...]


TARGETS: Sequence[Target] = (
    Target("service/sessions/*.lua", ("tests/sessions",)),
    Target("service/twofactor/*.lua", ("tests/twofactor",)),
    Target("service/sessions/*.py", ("tests/sessions",)),
    Target("service/twofactor/*.py", ("tests/twofactor",)),
    Target("service/authentication/*.py", ("tests/accounts", "tests/twofactor")),
    Target(
        "service/rate_limits.py",
        ("tests/test_rate_limits.py", "tests/twofactor/test_code_limits.py"),
    ),
    Target("service/accounts/*.py", ("tests/accounts", "tests/twofactor")),
    Target("service/keyring/envelope.py", ("tests/keyring/test_envelope.py",)),
    Target("service/guard/*.py", ("tests/guard",)),
    Target("service/web/requests.py", ("tests/web",)),
)


def chosen(root: Path, only: Sequence[str]) -> Iterator[tuple[Path, Target]]:
    """The files to mutate, each once; `only`: parts of paths, none for all."""
    for target in TARGETS:
        for path in sorted(root.glob(target.pattern)):
            name = str(path.relative_to(root))
            if path.name != "__init__.py" and (not only or any(part in name for part in only)):
                yield path.relative_to(root), target
