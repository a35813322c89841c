"""Lua sources that call their keys, arguments and constants by name.

`bind` puts `KEYS[2]` or `ARGV[3]`, or the value of a constant, in the place of each name: what
Redis runs is as if it had been written so. That costs nothing, keeps clear of Lua's limits of 200
locals and 60 upvalues, and leaves each line where it was.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files

_KEYWORDS = (
    "and break do else elseif end false for function if in local nil not or repeat return then "
    "true until while"
)
_LIBRARY = (
    "bit error ipairs math next pairs redis select string struct table tonumber tostring type "
    "unpack"
)
"""The globals that our scripts may use. `KEYS` and `ARGV` are not among them."""

REPEATED = """local function run(KEYS, ARGV) SOURCE
end
local found, keys, arguments = {}, tonumber(ARGV[1]), tonumber(ARGV[2])
for i = 0, #KEYS / keys - 1 do
  found[i + 1] = run({unpack(KEYS, i * keys + 1, (i + 1) * keys)},
    {unpack(ARGV, i * arguments + 3, (i + 1) * arguments + 2)})
end
return found"""
"""A script around one that is run for several callers. Lines are numbered as in that one."""

REPEATED_APART = """local function run(KEYS, ARGV) SOURCE
end
local keys, arguments, found = tonumber(ARGV[1]), tonumber(ARGV[2]), {}
for i = 3, #ARGV, keys + arguments do
  local ok, outcome = pcall(run, {unpack(ARGV, i, i + keys - 1)},
    {unpack(ARGV, i + keys, i + keys + arguments - 1)})
  if not ok then
    outcome = {err = type(outcome) == 'table' and outcome.err or tostring(outcome)}
  end
  found[#found + 1] = outcome
end
return found"""
"""The same, with keys that are not declared, where an error in one leaves the others alone."""

_TOKEN = re.compile(
    r"""(?P<other>
        --\[\[.*?\]\] | --[^\n]*                        # a comment
      | '(?:\\.|[^'\\\n])*' | "(?:\\.|[^"\\\n])*"       # a string
      | (?<![.])[.:]\s*[A-Za-z_]\w*                     # a field or method
      | (?<={)\s*[A-Za-z_]\w*\s*=(?!=)                  # the first field of a table
      | \d[\w.]*                                        # a number
    ) | (?P<name>[A-Za-z_]\w*)""",
    re.VERBOSE | re.DOTALL,
)
_NAME = r"[A-Za-z_]\w*"
_NAMES = rf"({_NAME}(?:\s*,\s*{_NAME})*)"
_DECLARATION = re.compile(
    rf"\bfunction\b\s*({_NAME})?\s*\(([^)]*)\)|\blocal\s+(?!function\b){_NAMES}"
    rf"|\bfor\s+{_NAMES}\s*(?:=|in\b)"
)


def bind(source: str, values: Mapping[str, str]) -> str:
    """Replace each name by its value: not in strings and comments, and not for fields."""
    return _TOKEN.sub(
        lambda token: token["other"] or values.get(token["name"], token["name"]), source
    )


def literal(value: str | int) -> str:
    """Spell a constant as Lua does.

    Raises:
        ValueError: Lua would read something else.
    """
    if isinstance(value, int):
        return f"({value})"
    if not value.isprintable() or "'" in value or "\\" in value:
        raise ValueError(f"{value!r} cannot be a constant of a script")
    return f"('{value}')"


_FUNCTION = re.compile(
    r"^local function (\w+)\((?:[^\n]*\bend$|[^\n]*\n(?:[^\n]*\n)*?end$)", re.MULTILINE
)
"""A function of a whole script: in one line, or up to the next `end` that is not indented."""


def without_unused(source: str) -> str:
    """Leave out functions that nothing calls; what stands after them keeps its lines.

    Redis makes each function anew at every run of a script, some 600 instructions each.
    """
    while True:
        names = [token["name"] for token in _TOKEN.finditer(source) if token["name"]]
        unused = [each for each in _FUNCTION.finditer(source) if _is_unused(each, names)]
        if not unused:
            return source
        for each in reversed(unused):
            lines = "\n" * each[0].count("\n")
            source = source[: each.start()] + lines + source[each.end() :]


def _is_unused(function: re.Match[str], names: Sequence[str]) -> bool:
    own = [token["name"] for token in _TOKEN.finditer(function[0])]
    return names.count(function[1]) == own.count(function[1])


def unpacked(numbers: Sequence[str], place: int) -> str:
    """Spell the Lua that makes locals of the numbers of a script, which are packed at this place.

    It ends no line, so that those of the script keep their places.
    """
    if not numbers:
        return ""
    layout = "i8" * len(numbers)
    return f"local {', '.join(numbers)} = struct.unpack('>{layout}', ARGV[{place}]); "


def check(parts: Iterable[str], own: Collection[str], given: Collection[str]) -> None:
    """Compare the names that a source uses with those that are declared for it.

    `parts`: the texts that it is made of, each with whole tokens. `own`: what it must use, since a
    caller sends it; `given`: what it may use.

    Raises:
        ValueError: it uses a name that nobody declares, leaves one of its `own` unused, or
            declares one a second time.
    """
    names = [_names(text) for text in parts]
    used = frozenset[str]().union(*(each for each, _ in names))
    local = frozenset[str]().union(*(each for _, each in names))
    library = _LIBRARY.split()
    if unknown := used.difference(local, library, own, given):
        raise ValueError(f"nobody declares {_listed(unknown)}")
    if unused := {*own} - used:
        raise ValueError(f"{_listed(unused)} is declared and not used")
    if twice := local.intersection({*own, *given, *library}):
        raise ValueError(f"{_listed(twice)} is declared twice")


_LINE = re.compile(r"user_script:(\d+)")


def located(message: str, lines: Sequence[tuple[str, int]], before: int) -> str:
    """Name files and lines in an error's message, instead of lines of the joined source.

    `lines`: names of the files, and how many each has; so many lines stand `before` the first.
    """

    def place(found: re.Match[str]) -> str:
        line = int(found[1]) - before
        for name, count in lines:
            if 0 < line <= count:
                return f"{name}:{line}"
            line -= count
        return found[0]

    return _LINE.sub(place, message)


@cache  # a file is a part of up to ten scripts, and all are checked at each start
def _names(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """Find the names that a text uses, and those of them that it declares itself."""
    used, code, end = set[str](), "", 0
    for token in _TOKEN.finditer(text):
        if name := token["name"]:
            used.add(name)
        elif _is_text(token[0]):
            code += text[end : token.start()] + " "
            end = token.end()
    code += text[end:]
    local = {
        name.strip()
        for found in _DECLARATION.finditer(code)
        for names in found.groups()
        for name in (names or "").split(",")
    } - {"", "..."}
    return frozenset(used.difference(_KEYWORDS.split())), frozenset(local)


def _is_text(token: str) -> bool:
    return token[0] in "'\"" or token.startswith("--")


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))


def texts(paths: Sequence[str]) -> dict[str, str]:
    """Read the Lua files of `service/` at these paths."""
    return {path: _text(path) for path in paths}


_text = cache(lambda path: (files("service") / path).read_text(encoding="utf-8"))
