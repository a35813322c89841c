"""Every command that a message or a page tells people to run is one that there is."""

import re
import shlex
from pathlib import Path

import pytest
from tools.testbed.redis_server import REPOSITORY

from service.cli.program import _parser

PLACES = [
    *sorted((REPOSITORY / "service").rglob("*.py")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    REPOSITORY / "README.md",
    REPOSITORY / "CHANGELOG.md",
]

_OURS = re.compile(r"`(openshow-auth [a-z][^`]*)`")
_NOBODYS = re.compile(r"`service (keys|migrate|serve|redis)\b")


@pytest.mark.parametrize("place", PLACES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_commands_exist(place: Path) -> None:
    """Proves that nobody is sent to a program or an action that does not exist."""
    written = place.read_text(encoding="utf-8")
    assert _NOBODYS.search(written) is None
    for found in _OURS.finditer(" ".join(written.split())):
        words = [word for word in shlex.split(found[1])[1:] if word != "..."]
        words = ["1" if word.isupper() else word for word in words]  # whatever stands for a value
        if any(mark in found[1] for mark in "{<|…["):
            continue  # a pattern, not a command
        if words in (["keys"], ["users"], ["sessions"], ["api-keys"], ["relying-parties"]):
            continue
        if words[:2] == ["keys", "revoke"]:
            words = ["keys", "revoke", "signing", "1"]
        _parser().parse_args(words)
