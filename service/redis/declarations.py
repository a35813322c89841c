"""What a script takes, read off the function that declares it (`scripts.py`)."""

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from operator import itemgetter
from typing import Annotated, Any, get_type_hints

from service.redis.connection import Argument

Key = Annotated[bytes, "KEYS"]
"""A keyword that is a key. All others are arguments."""

Keys = Annotated[Sequence[bytes], "KEYS", "all"]
Arguments = Annotated[Sequence[Argument], "ARGV", "all"]
"""A keyword that is all keys, or all arguments: a table in Lua. None of its kind stands beside."""


class Declared:
    """The keys and arguments that a function declares, in their order, as callers give them."""

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
        self.names = (*self.keys, *self.arguments)
        self.keys_of = _values(self.keys, kinds)
        self.arguments_of = _values(self.arguments, kinds)
        self.tables = {name: kind[0] for name, kind in kinds.items() if kind[1:]}


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
