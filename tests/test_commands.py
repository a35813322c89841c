"""Every command that a message or a page tells people to run is one that there is."""

import re
import shlex
from collections.abc import Iterator

import pytest
from tools.testbed.redis_server import REPOSITORY

from service.cli.program import _parser, main

PLACES = [
    *sorted((REPOSITORY / "service").rglob("*.py")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    REPOSITORY / "README.md",
    REPOSITORY / "CHANGELOG.md",
]

_OURS = re.compile(r"`(openshow-auth [a-z][^`]*)`")
_NOBODYS = re.compile(r"`service (keys|migrate|serve|redis)\b")


def test_commands_exist(capsys: pytest.CaptureFixture[str]) -> None:
    """Proves that nobody is sent to a program or an action that does not exist."""
    wrong = list[tuple[str, str]]()
    parser, tried = _parser(), 0
    for place in PLACES:
        written = place.read_text(encoding="utf-8")
        assert _NOBODYS.search(written) is None, place
        for command in commands_in(written):
            tried += 1
            try:
                parser.parse_args(command)
            except SystemExit:
                wrong.append((place.name, capsys.readouterr().err))
    assert wrong == []
    assert tried > 50


def commands_in(written: str) -> Iterator[list[str]]:
    """The words of each command of ours that a text has, without those that are patterns."""
    for found in _OURS.finditer(" ".join(written.split())):
        words = [word for word in shlex.split(found[1])[1:] if word != "..."]
        words = ["1" if word.isupper() else word for word in words]  # whatever stands for a value
        if any(mark in found[1] for mark in "{<|…["):
            continue  # a pattern, not a command
        if words in (["keys"], ["users"], ["sessions"], ["api-keys"], ["relying-parties"]):
            continue
        if words[:2] == ["keys", "revoke"]:
            words = ["keys", "revoke", "signing", "1"]
        if words[0] == "events" and "--after" in words:
            words[words.index("--after") + 1] = "0"
        yield words


def test_ctrl_c_leaves_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proves that a command that is interrupted before it has begun says so in one line."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("service.cli.program._parser", interrupted)
    assert main(["users", "find", "a@b.example"]) == 130
    assert capsys.readouterr().err == "openshow-auth: interrupted\n"
