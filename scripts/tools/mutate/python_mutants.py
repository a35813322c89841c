"""Mutants of a Python module: comparisons, conditions, numbers, calls and raises.

Docstrings, annotations, log lines and messages for people are left as they are: no security hangs
on them.
"""

import ast
import copy
from collections.abc import Callable, Iterator

from tools.mutate.mutant import Mutant

Change = tuple[str, Callable[[ast.AST], ast.AST]]

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_SILENT = ("log", "logger", "logging")
"""Calls on these tell people something and change nothing."""


def mutants(path: str, source: str) -> Iterator[Mutant]:
    """Every mutant of a module."""
    tree = ast.parse(source)
    skipped = set(_left_alone(tree))
    for index, node in enumerate(ast.walk(tree)):
        if id(node) in skipped:
            continue
        for what, change in _changes(node):
            changed = copy.deepcopy(tree)
            target = next(it for at, it in enumerate(ast.walk(changed)) if at == index)
            _put(changed, target, change(target))
            ast.fix_missing_locations(changed)
            yield Mutant(path, getattr(node, "lineno", 0), what, ast.unparse(changed) + "\n")


def _left_alone(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        parts: list[ast.AST] = []
        if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
            parts.append(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is not None:
            parts.append(node.returns)
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


def _changes(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Compare(ops=ops):
            for at, operator in enumerate(ops):
                other = _COMPARISONS[type(operator)]
                yield f"{_spelt(node)} with {other.__name__}", _with_operator(at, other)
        case ast.BoolOp(op=ast.And()):
            yield f"{_spelt(node)} with or", lambda it: _set(it, op=ast.Or())
        case ast.BoolOp():
            yield f"{_spelt(node)} with and", lambda it: _set(it, op=ast.And())
        case ast.UnaryOp(op=ast.Not(), operand=_):
            yield f"{_spelt(node)} without not", lambda it: it.operand  # type: ignore[attr-defined]
        case ast.If() | ast.While() | ast.IfExp():
            yield f"never {_spelt(node.test)}", lambda it: _set(it, test=ast.Constant(False))
        case ast.BinOp(op=operator) if type(operator) in _ARITHMETIC:
            other_operator = _ARITHMETIC[type(operator)]
            yield (
                f"{_spelt(node)} with {other_operator.__name__}",
                lambda it: _set(it, op=other_operator()),
            )
        case ast.Constant(value=bool() as value):
            yield f"{value} negated", lambda it: ast.Constant(not value)
        case ast.Constant(value=int() as number):
            yield f"{number} + 1", lambda it: ast.Constant(number + 1)
        case ast.Constant(value=bytes() as label) if label:
            yield f"{label!r} changed", lambda it: ast.Constant(label + b"!")
        case ast.Raise():
            yield f"without {_spelt(node)}", lambda it: ast.Pass()
        case ast.Expr(value=ast.Call() | ast.Await()):
            yield f"without {_spelt(node)}", lambda it: ast.Pass()


def _with_operator(at: int, other: type[ast.cmpop]) -> Callable[[ast.AST], ast.AST]:
    def change(node: ast.AST) -> ast.AST:
        assert isinstance(node, ast.Compare)  # noqa: S101  for the type checker
        node.ops[at] = other()
        return node

    return change


def _set(node: ast.AST, **fields: object) -> ast.AST:
    for name, value in fields.items():
        setattr(node, name, value)
    return node


def _put(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    """Put `new` where `old` stands in the tree."""
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, new)
            elif isinstance(value, list) and any(it is old for it in value):
                setattr(parent, name, [new if it is old else it for it in value])


def _spelt(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 70 else f"{text[:67]}..."
