"""Putting a mutant into a process that has imported the original already.

Everything that exists is looked at with `type`: `isinstance` asks an object for its `__class__`,
which those of some libraries raise at.
"""

import gc
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType

from service.redis.scripts import Source


def patch(path: Path, original: str, source: str) -> frozenset[str]:
    """Make this process run `source` instead of `original`, which `path` held when it was imported.

    Returns what is another now: functions by name, or `script`. Nothing, with nothing changed,
    where that cannot be done: what runs at import has run already.
    """
    if path.suffix == ".lua":
        return _patch_scripts(original, source)
    return _patch_functions(path, original, source)


def _patch_scripts(original: str, source: str) -> frozenset[str]:
    found = [it for it in gc.get_objects() if type(it) is Source and original in it._source]
    for script in found:
        script._source = script._source.replace(original, source)
        script._spelt.clear()
    return frozenset({"script"} if found else ())


def _patch_functions(path: Path, original: str, source: str) -> frozenset[str]:
    before, after = _parts(path, original), _parts(path, source)
    if before is None or after is None or before.keys() != after.keys():
        return frozenset()
    changed = [name for name in before if not _same(before[name], after[name])]
    if not changed or "<module>" in changed:
        return frozenset()
    live = _live(path)
    if any(len(live.get(name, ())) == 0 for name in changed):
        return frozenset()
    if any(
        it.__code__.co_freevars != after[name].co_freevars for name in changed for it in live[name]
    ):
        return frozenset()
    for name in changed:
        for function in live[name]:
            function.__code__ = after[name]
    return frozenset(changed)


def _live(path: Path) -> dict[str, list[FunctionType]]:
    """Find the functions of a module that exist, by name."""
    found: dict[str, list[FunctionType]] = {}
    for it in gc.get_objects():
        if type(it) is FunctionType and it.__code__.co_filename == str(path):
            found.setdefault(it.__code__.co_qualname, []).append(it)
    return found


def _parts(path: Path, source: str) -> dict[str, CodeType] | None:
    """Compile the code of each function, and of all the rest; None where two have one name."""
    module = compile(source, str(path), "exec", dont_inherit=True)
    parts = {"<module>": module}
    for code in _functions(module):
        if code.co_qualname in parts:
            return None
        parts[code.co_qualname] = code
    return parts


def _functions(code: CodeType) -> Iterator[CodeType]:
    """Find outermost functions and methods; what is within them is part of them."""
    for part in code.co_consts:
        if isinstance(part, CodeType):
            if part.co_flags & 0x2:  # CO_NEWLOCALS: a function
                yield part
            else:
                yield from _functions(part)


def _same(one: CodeType, other: CodeType) -> bool:
    """Whether two do the same, wherever their lines are; functions in a class or module apart."""
    apart = not one.co_flags & 0x2
    return (
        one.co_code == other.co_code
        and (one.co_names, one.co_varnames) == (other.co_names, other.co_varnames)
        and one.co_exceptiontable == other.co_exceptiontable
        and len(one.co_consts) == len(other.co_consts)
        and all(
            (apart and this.co_flags & 0x2 and that.co_flags & 0x2) or _same(this, that)
            if isinstance(this, CodeType) and isinstance(that, CodeType)
            else (type(this), this) == (type(that), that)
            for this, that in zip(one.co_consts, other.co_consts, strict=True)
        )
    )
