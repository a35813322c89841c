"""Lua scripts: declared by name, loaded once, called by digest, one round trip each.

A script is a Python function without a body, whose keywords are its keys and arguments:

    @script(text="redis.call('SET', lock, owner, 'PX', life) return 1")
    def take(*, lock: Key, owner: bytes, life: int) -> Any: ...

    await take(redis, lock=b"lock:{00}", owner=b"me", life=1000)

Inside, the names stand for their places in `KEYS` and `ARGV`. A name that is wrong, missing or not
used fails when the module is imported; mypy checks the callers.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from inspect import signature
from operator import itemgetter
from typing import Annotated, Any, Generic, ParamSpec, get_type_hints

from redis.exceptions import NoScriptError, RedisError

from service.errors import ClockWrong, UnknownLayout
from service.redis import lua
from service.redis.client import RedisClient
from service.redis.connection import Argument
from service.redis.preamble import PROVIDED
from service.redis.refusals import CommandRefused, code_of

P = ParamSpec("P")

Key = Annotated[bytes, "KEYS"]
"""A keyword that is a key. All others are arguments."""

Keys = Annotated[Sequence[bytes], "KEYS", "all"]
Arguments = Annotated[Sequence[Argument], "ARGV", "all"]
"""A keyword that is all keys, or all arguments: a table in Lua. None of its kind stands beside."""

Constants = Mapping[str, str | int]
"""What never changes: each argument costs Redis some 0.2 µs at every call, a constant nothing."""

_OTHER_LAYOUT, _OTHER_TIME = ("LAYOUT", "WRONGTYPE"), "CLOCK"
"""Codes of error replies: a script has found what it cannot read, or a key of another kind; and a
clock of ours by which it judges nothing."""

_LINE = re.compile(r"user_script:(\d+)")


_NAMES: dict[str, str] = {}
"""The file, or the function, of each script that was run, by its digest."""


def name_of(command: Sequence[Argument]) -> str | None:
    """Name the script that a command calls by its digest; `None` where it calls none so."""
    return _NAMES.get(str(command[1])) if command[0] == "EVALSHA" else None


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


class Source:
    """The Lua of one atomic step. It says what its outcomes are.

    `acknowledged`: whether its outcome waits until replicas have it, where the client is told so.
    What only reads need not, nor does what may be lost.
    """

    def __init__(
        self,
        declared: Declared,
        parts: Mapping[str, str],
        constants: Constants,
        *,
        acknowledged: bool,
        context: tuple[Sequence[str], Sequence[str]] = ((), ()),
    ) -> None:
        """Join the texts and bind the names in them.

        `parts`: texts by the name of their file. `context`: keys and arguments that stand before
        those that are declared, the same for all scripts of a kind.

        Raises:
            ValueError: the names in it are not those that are declared.
        """
        self._source = "\n".join(parts.values())
        self._acknowledged = acknowledged
        self._lines = [(name, text.count("\n") + 1) for name, text in parts.items()]
        places = (
            ("KEYS", (*context[0], *declared.keys)),
            ("ARGV", (*context[1], *declared.arguments)),
        )
        self._values = {name: lua.literal(value) for name, value in constants.items()}
        self._values |= {
            name: f"{table}[{place}]"
            for table, names in places
            for place, name in enumerate(names, 1)
        }
        self._values |= declared.tables
        self._spelt: dict[str, tuple[str, str]] = {}  # by what the client puts before it
        given = {*self._values, *(PROVIDED if acknowledged else ())}.difference(declared.names)
        try:
            lua.check(self._source, declared.names, given)
        except ValueError as error:
            raise ValueError(f"{', '.join(parts)}: {error}") from None

    async def run(
        self, redis: RedisClient, keys: Sequence[bytes], arguments: Sequence[Argument]
    ) -> Any:
        """Run it once. All `keys` lie in one bucket.

        Raises:
            StoreUnavailable: Redis did not answer; whether the script ran is not known.
            CommandRefused: it has answered with an error, and why.
            RevocationUnconfirmed: it ran, but too few replicas have said that they have it.
            UnknownLayout: a key holds what another version has written; nothing was changed.
        """
        before, send = (
            (redis.before_changing, redis.change)
            if self._acknowledged
            else (redis.before_reading, redis.execute)
        )
        source, digest = self._spelt.get(before) or self._spell(before)
        try:
            try:
                return await send("EVALSHA", digest, len(keys), *keys, *arguments)
            except NoScriptError:  # a server that has restarted; nothing ran: this is the first run
                return await send("EVAL", source, len(keys), *keys, *arguments)
        except CommandRefused as error:
            code = code_of(error.__cause__) if isinstance(error.__cause__, RedisError) else ""
            if code in _OTHER_LAYOUT:
                raise UnknownLayout("what is stored") from error
            if code == _OTHER_TIME:
                raise ClockWrong from error
            if error.refusal == "error":
                error.args = (self._located(str(error), before),)
            raise

    def _spell(self, before: str) -> tuple[str, str]:
        source = before + "\n" + lua.bind(self._source, self._values)
        digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        self._spelt[before] = source, digest
        _NAMES[digest] = self._lines[-1][0]
        return source, digest

    def _located(self, message: str, before: str) -> str:
        """Name files and lines in an error's message, instead of lines of the joined source."""

        def place(found: re.Match[str]) -> str:
            line = int(found[1]) - before.count("\n") - 1
            for name, lines in self._lines:
                if 0 < line <= lines:
                    return f"{name}:{line}"
                line -= lines
            return found[0]

        return _LINE.sub(place, message)


class Script(Generic[P]):
    """A script that is called with all its keys and arguments."""

    def __init__(
        self,
        function: Callable[P, Any],
        parts: Mapping[str, str],
        constants: Constants,
        *,
        acknowledged: bool,
    ) -> None:
        """Join and bind the script, as `Source` does."""
        self._declared = Declared(function)
        self._source = Source(self._declared, parts, constants, acknowledged=acknowledged)
        self.__doc__ = function.__doc__

    async def __call__(self, redis: RedisClient, *_: P.args, **named: P.kwargs) -> Any:
        """Run it once. Raises as `Source.run`."""
        declared = self._declared
        return await self._source.run(redis, declared.keys_of(named), declared.arguments_of(named))


def script(
    *paths: str,
    text: str = "",
    constants: Constants | None = None,
    acknowledged: bool = True,
) -> Callable[[Callable[P, Any]], Script[P]]:
    """Declare a script in files of `service/`, shared functions first, or of this `text`."""

    def declare(function: Callable[P, Any]) -> Script[P]:
        parts = {function.__name__: text} if text else texts(paths)
        return Script(function, parts, constants or {}, acknowledged=acknowledged)

    return declare


def texts(paths: Sequence[str]) -> dict[str, str]:
    """Read the Lua files of `service/` at these paths."""
    return {path: (files("service") / path).read_text(encoding="utf-8") for path in paths}
