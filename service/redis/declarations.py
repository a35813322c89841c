"""What a script takes, read off the function that declares it (`scripts.py`)."""

import struct
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from operator import itemgetter
from typing import Annotated, Any, get_type_hints

from service.redis.connection import Argument

Key = Annotated[bytes, "KEYS"]
"""A keyword that is a key. All others are arguments."""

Keys = Annotated[Sequence[bytes], "KEYS", "all"]
Arguments = Annotated[Sequence[Argument], "ARGV", "all"]
"""A keyword that is all keys, or all arguments: a table in Lua. None of its kind stands beside,
and no number beside all arguments."""

Number = Annotated[int, "NUMBER"]
"""A keyword that is a number in Lua, from -2^53 to 2^53. All of a script go as one argument: each
costs Redis some 1,100 instructions, and making a number of its digits as many again."""


class Declared:
    """The keys and arguments that a function declares, in their order, as callers give them.

    `numbers`: those that are packed into one argument, which stands behind all others.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        """Read the function's keywords.

        Raises:
            ValueError: `Keys` or `Arguments` do not stand alone.
        """
        hints = get_type_hints(function, include_extras=True)
        kinds = {
            name: getattr(hints[name], "__metadata__", ("ARGV",))
            for name in signature(function).parameters
        }
        self.keys = tuple(name for name, kind in kinds.items() if kind[0] == "KEYS")
        self.arguments = tuple(name for name, kind in kinds.items() if kind[0] == "ARGV")
        self.numbers = tuple(name for name, kind in kinds.items() if kind[0] == "NUMBER")
        self.names = (*self.keys, *self.arguments, *self.numbers)
        self.keys_of = _values(self.keys, kinds)
        self.arguments_of = _values(self.arguments, kinds)
        self.tables = {name: kind[0] for name, kind in kinds.items() if kind[1:]}
        if self.numbers and "ARGV" in self.tables.values():
            raise ValueError("numbers stand beside all arguments")
        if self.numbers:
            self.arguments_of = _with_packed(self.arguments_of, _values(self.numbers, kinds))


def _values(
    names: tuple[str, ...], kinds: Mapping[str, tuple[str, ...]]
) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
    """Make a function that takes the values of these names, in this order, out of keywords."""
    if any(kinds[name][1:] for name in names):
        (only,) = names
        return itemgetter(only)
    if len(names) > 1:
        return itemgetter(*names)
    return lambda named: [named[name] for name in names]


def _with_packed(
    others: Callable[[Mapping[str, Any]], Sequence[Any]],
    numbers: Callable[[Mapping[str, Any]], Sequence[int]],
) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
    """Make a function that puts the numbers, packed, behind the other arguments."""

    def values(named: Mapping[str, Any]) -> Sequence[Any]:
        found = numbers(named)
        return (*others(named), struct.pack(f">{len(found)}q", *found))

    return values
