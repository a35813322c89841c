"""Entries of the feed, byte by byte. What becomes of them: `test_feed_kinds.py`."""

import pytest

from service.guard.cursor import Position
from service.guard.cut_offs import CutOff
from service.guard.entries import BucketCutOff, Said, UnknownKind, UserCutOff, read_entry

USER, ONE, TWO = bytes(range(16)), b"\1" * 12, b"\2" * 12

KNOWN: list[tuple[list[bytes], Said]] = [
    ([b"s", ONE], ONE),
    ([b"u", USER, b"t", b"17"], UserCutOff(USER, CutOff(17))),
    ([b"u", USER, b"t", b"0"], UserCutOff(USER, CutOff(0))),
    ([b"u", USER, b"t", b"17", b"k", b""], UserCutOff(USER, CutOff(17))),
    ([b"u", USER, b"t", b"17", b"k", ONE + TWO], UserCutOff(USER, CutOff.keeping(17, [ONE, TWO]))),
    ([b"g", b"1", b"t", b"1800000000000"], BucketCutOff(1_800_000_000_000)),
]


@pytest.mark.parametrize(("fields", "said"), KNOWN)
def test_known_kinds(fields: list[bytes], said: Said) -> None:
    """With their number."""
    assert read_entry(b"5-0", [b"n", b"12", *fields]) == (Position(b"5-0", 12), said)


@pytest.mark.parametrize(("fields", "name"), [
    ([b"x", b"1"], "x"),
    ([], ""),
    ([b"s", ONE, b"x", b"1"], "s x"),
    ([b"t", b"17", b"u", USER], "t u"),
    ([b"u", USER], "u"),
    ([b"g", b"1"], "g"),
    ([b"u", USER, b"t", b"17", b"k", ONE, b"k", TWO], "u t k k"),
    ([b"\xff\n", b"1"], "\\xff\n"),
    ([b"x" * 100, b"1"], "x" * 40),
])  # fmt: skip
def test_unknown_kinds(fields: list[bytes], name: str) -> None:
    """Any other list of names, also of known ones: the number counts all the same."""
    said = read_entry(b"5-0", [b"n", b"12", *fields])
    assert said == (Position(b"5-0", 12), UnknownKind(name))


@pytest.mark.parametrize("fields", [
    [], [b"n"], [b"s", ONE], [b"s", ONE, b"n", b"1"], [b"N", b"1", b"s", ONE], [b"n", b"1", b"s"],
    *[[b"n", number, b"s", ONE] for number in (
        b"", b"0", b"-1", b"+1", b"1.0", b" 1", b"1 ", b"1_0", b"x", b"\xb2", b"1" * 17,
        b"1" * 9999,
    )],
    *[[b"n", b"1", b"s", it] for it in (b"", ONE[1:], ONE + b"\0", ONE.hex().encode())],
    *[[b"n", b"1", b"u", user_id, b"t", b"17"] for user_id in (b"", USER[1:], USER.hex().encode())],
    *[[b"n", b"1", *kind, b"t", at] for kind in ([b"u", USER], [b"g", b"1"]) for at in (
        b"", b"-1", b"1.5", b"now", b" 17", b"1" * 17, b"1" * 9999,
    )],
    *[[b"n", b"1", b"u", USER, b"t", b"17", b"k", kept] for kept in (b"x", ONE[1:], ONE + b"\0")],
    *[[b"n", b"1", b"g", which, b"t", b"17"] for which in (b"", b"0", b"2", b"01")],
])  # fmt: skip
def test_what_is_malformed_has_no_number(fields: list[bytes]) -> None:
    """Nor does it say anything."""
    assert read_entry(b"5-0", fields) == (Position(b"5-0", 0), None)
