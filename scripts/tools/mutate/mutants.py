"""Mutants of a script or module: one thing changed in each."""

import ast
import copy
import re
from collections import Counter
from collections.abc import Iterator

import msgspec


class Mutant(msgspec.Struct, frozen=True):
    """`path` is relative to the repository; `source` is all of the file as the mutant has it."""

    path: str
    line: int
    change: str
    source: str

    @property
    def name(self) -> str:
        """Where it is and what it does, on one line."""
        return f"{self.path}:{self.line}: {self.change}"


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


def of_script(path: str, source: str) -> Iterator[Mutant]:
    """Make every mutant of a Lua script: comparisons, conditions, numbers, options, statements."""
    lines = source.split("\n")
    for number, line in enumerate(lines):
        code, dashes, comment = line.partition("--")
        seen: Counter[str] = Counter()
        for change, changed in _changes_of_line(code):
            rest = [*lines[:number], changed + dashes + comment, *lines[number + 1 :]]
            seen[change] += 1
            place = f", place {seen[change]}" if seen[change] > 1 else ""
            yield Mutant(path, number + 1, change + place, "\n".join(rest))


def _changes_of_line(code: str) -> Iterator[tuple[str, str]]:
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


_PAIRS: list[tuple[type[ast.AST], type[ast.AST]]] = [
    (ast.Eq, ast.NotEq), (ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.In, ast.NotIn),
    (ast.Is, ast.IsNot), (ast.And, ast.Or), (ast.Add, ast.Sub), (ast.BitOr, ast.BitAnd),
    (ast.LShift, ast.RShift),
]  # fmt: skip
_OTHER = {one: other for pair in _PAIRS for one, other in (pair, pair[::-1])}
"""Operators by what takes their place."""
_SILENT = ("log", "logger", "logging")
"""Calls on these tell people something and change nothing."""


def of_module(path: str, source: str) -> Iterator[Mutant]:
    """Make every mutant of a Python module: comparisons, conditions, numbers, calls and raises.

    Docstrings, annotations, log lines and messages for people are left as they are: no security
    hangs on them. So are the options of a class (`frozen=True`), which type checks hold.
    """
    tree, lines = ast.parse(source), source.splitlines()
    seen: Counter[str] = Counter()
    skipped = set(_left_alone(tree))
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            nodes = value if isinstance(value, list) else [value]
            for at, node in enumerate(nodes):
                if not isinstance(node, ast.AST) or id(node) in skipped:
                    continue
                for what, new in _changes_of_node(node):
                    changed = [*nodes[:at], new, *nodes[at + 1 :]]
                    setattr(parent, name, changed if isinstance(value, list) else new)
                    text = ast.unparse(tree) + "\n"
                    setattr(parent, name, value)
                    number = getattr(node, "lineno", 0)
                    if isinstance(node, ast.Constant):
                        what += f" in {lines[number - 1].strip()}"
                    seen[what] += 1
                    place = f", place {seen[what]}" if seen[what] > 1 else ""
                    yield Mutant(path, number, what + place, text)


def _left_alone(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        parts: list[ast.AST] = []
        if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
            parts.append(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is not None:
            parts.append(node.returns)
        elif isinstance(node, ast.ClassDef):
            parts += node.keywords
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            parts += node.exc.args
        elif (
            isinstance(node, ast.Expr)
            and (isinstance(node.value, ast.Constant) or _is_silent(node.value))
        ) or isinstance(node, ast.JoinedStr):
            parts.append(node)
        for part in parts:
            yield from (id(inner) for inner in ast.walk(part))


def _is_silent(call: ast.AST) -> bool:
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
        return False
    return isinstance(call.func.value, ast.Name) and call.func.value.id in _SILENT


def _changes_of_node(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Find what may stand in the place of a node, and what that changes."""
    match node:
        case ast.Compare(ops=ops):
            for at, operator in enumerate(ops):
                other = _OTHER[type(operator)]
                changed = [*ops[:at], other(), *ops[at + 1 :]]
                yield f"{_spelt(node)} with {other.__name__}", _with(node, ops=changed)
        case ast.BoolOp(op=operator):
            other = _OTHER[type(operator)]
            yield f"{_spelt(node)} with {other.__name__.lower()}", _with(node, op=other())
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield f"{_spelt(node)} without not", operand
        case ast.If() | ast.While() | ast.IfExp():
            yield f"never {_spelt(node.test)}", _with(node, test=ast.Constant(False))
        case ast.BinOp(op=operator) if type(operator) in _OTHER:
            other = _OTHER[type(operator)]
            yield f"{_spelt(node)} with {other.__name__}", _with(node, op=other())
        case ast.Constant(value=bool() as value):
            yield f"{value} negated", ast.Constant(not value)
        case ast.Constant(value=int() as number):
            yield f"{number} + 1", ast.Constant(number + 1)
        case ast.Constant(value=bytes() as label) if label:
            yield f"{label!r} changed", ast.Constant(label + b"!")
        case ast.Raise() | ast.Expr(value=ast.Call() | ast.Await()):
            yield f"without {_spelt(node)}", ast.Pass()


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _spelt(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 70 else f"{text[:67]}..."
