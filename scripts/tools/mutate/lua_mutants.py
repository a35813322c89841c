"""Mutants of a Lua script: comparisons, conditions, numbers, options, whole statements."""

import re
from collections import Counter
from collections.abc import Iterator

from tools.mutate.mutant import Mutant

_SWAPS = [
    (r" == ", " ~= "),
    (r" ~= ", " == "),
    (r" < ", " <= "),
    (r" <= ", " < "),
    (r" > ", " >= "),
    (r" >= ", " > "),
    (r" and ", " or "),
    (r" or ", " and "),
    (r"\bnot ", ""),
    (r" \+ ", " - "),
    (r" - ", " + "),
    (r"math\.min", "math.max"),
    (r"math\.max", "math.min"),
    (r", 'GT'", ""),
    (r", 'KEEPTTL'", ""),
    (r", 'NX'", ""),
    (r"'PXAT'", "'PX'"),
    (r"'MINID'", "'MAXLEN'"),
    (r"\btrue\b", "false"),
    (r"\bfalse\b", "true"),
]
_NUMBER = re.compile(
    r"(?<![\w.'%])(?<!ARGV\[)(?<!KEYS\[)(\d+)(?![\w.'])"
)  # not the place of an argument
_STATEMENT = re.compile(r"^\s*(redis\.call|call|emit|finish|forget|keep|announce_change)\(.*\)$")
_CONDITION = re.compile(r"\bif (.+?) then\b")


def mutants(path: str, source: str) -> Iterator[Mutant]:
    """Make every mutant of a script."""
    lines = source.split("\n")
    for number, line in enumerate(lines):
        code, dashes, comment = line.partition("--")
        seen: Counter[str] = Counter()
        for change, changed in _changes(code):
            rest = [*lines[:number], changed + dashes + comment, *lines[number + 1 :]]
            seen[change] += 1
            place = f", place {seen[change]}" if seen[change] > 1 else ""
            yield Mutant(path, number + 1, change + place, "\n".join(rest))


def _changes(code: str) -> Iterator[tuple[str, str]]:
    for pattern, other in _SWAPS:
        for found in re.finditer(pattern, code):
            yield (
                f"{found[0].strip()} → {other.strip() or 'nothing'} in {code.strip()}",
                code[: found.start()] + other + code[found.end() :],
            )
    for found in _NUMBER.finditer(code):
        more = str(int(found[1]) + 1)
        yield (
            f"{found[1]} → {more} in {code.strip()}",
            code[: found.start()] + more + code[found.end() :],
        )
    for found in _CONDITION.finditer(code):
        yield f"never {found[1]}", code[: found.start(1)] + "false" + code[found.end(1) :]
    if _STATEMENT.match(code):
        yield f"without {code.strip()}", ""
