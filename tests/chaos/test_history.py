"""What is kept of a run that went wrong."""

from pathlib import Path

import msgspec
from tools.chaos.history import Fault, Operation, fingerprint

from tests.chaos.story import Story


def test_the_history_of_those_concerned_is_kept(tmp_path: Path) -> None:
    """What they did, and all faults, in the order in which it began; nothing of anybody else."""
    told = (
        Story()
        .fault(0.5, 2.0)
        .ok("me", 1, caller="s")
        .ok("signup", 0.2, person="bob", session="b", received="b0")
    )
    told.history.keep(tmp_path / "kept.jsonl", ["ada"])
    lines = (tmp_path / "kept.jsonl").read_bytes().splitlines()
    signup, fault, me = lines
    assert [msgspec.json.decode(line, type=Operation).kind for line in (signup, me)] == [
        "signup",
        "me",
    ]
    assert msgspec.json.decode(fault, type=Fault) == told.history.faults[0]


def test_tokens_are_named_and_not_shown() -> None:
    """The same name each time, from which the token does not follow."""
    assert fingerprint("osr_secret") == fingerprint("osr_secret") != fingerprint("osr_other")
    assert "secret" not in fingerprint("osr_secret")
