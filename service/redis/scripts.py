"""Lua scripts: declared by name, loaded once, called by digest, one round trip each.

A script is a Python function without a body, whose keywords are its keys and arguments:

    @script(text="redis.call('SET', lock, owner, 'PX', life) return 1")
    def take(*, lock: Key, owner: bytes, life: int) -> Any: ...

    await take(redis, lock=b"lock:{00}", owner=b"me", life=1000)

Inside, the names stand for their places in `KEYS` and `ARGV`. A name that is wrong, missing or not
used fails when the module is imported; mypy checks the callers.
"""

import hashlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Generic, ParamSpec

from redis.exceptions import NoScriptError, RedisError

from service.errors import ClockWrong, StoreRefuses, UnknownLayout
from service.redis import lua
from service.redis.client import RedisClient
from service.redis.connection import Argument
from service.redis.declarations import Arguments, Declared, Key, Keys, Number
from service.redis.lua import texts
from service.redis.preamble import PROVIDED
from service.redis.refusals import UNREADABLE, CommandRefused, code_of

__all__ = [
    "Arguments", "Constants", "Declared", "Key", "Keys", "Number", "Source", "script", "texts"
]  # fmt: skip

P = ParamSpec("P")

Constants = Mapping[str, str | int]
"""What never changes: each argument costs Redis some 0.2 µs at every call, a constant nothing."""

_OTHER_TIME, _FORGOTTEN = "CLOCK", "FORGOTTEN"
"""Codes of error replies: a script has found a clock of ours by which it judges nothing; and that
Redis does not know any more what was used."""

_NAMES: dict[str, str] = {}
"""The file, or the function, of each script that was run, by its digest."""


def name_of(command: Sequence[Argument]) -> str | None:
    """Name the script that a command calls by its digest; `None` where it calls none so."""
    return _NAMES.get(str(command[1])) if command[0] == "EVALSHA" else None


def _digest(source: str) -> str:
    """Return what a server knows a script by."""
    return hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


class Source:
    """The Lua of one atomic step. It says what its outcomes are.

    `acknowledged`: whether its outcome waits until replicas have it, where the client is told so.
    What only reads need not, nor does what may be lost. `one_key`: it reads one key and no other:
    so a server can tell by itself where that is while its slot moves.
    """

    def __init__(
        self,
        declared: Declared,
        parts: Mapping[str, str],
        constants: Constants,
        *,
        acknowledged: bool,
        one_key: bool = False,
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
        self._before = "before_changing" if acknowledged else "before_reading"
        if one_key:
            self._before = "before_one_key"
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
        self._numbers = lua.unpacked(declared.numbers, len(places[1][1]) + 1)
        self._spelt: dict[str, tuple[str, str]] = {}  # by what the client puts before it
        self._repeated: dict[tuple[str, str], tuple[str, str]] = {}
        given = {*self._values, *(PROVIDED if acknowledged else ())}.difference(declared.names)
        try:
            lua.check(parts.values(), declared.names, given)
        except ValueError as error:
            raise ValueError(f"{', '.join(parts)}: {error}") from None

    def run(
        self, redis: RedisClient, keys: Sequence[bytes], arguments: Sequence[Argument]
    ) -> Coroutine[Any, Any, Any]:
        """Run it once. All `keys` lie in one bucket.

        Raises:
            StoreUnavailable: Redis did not answer; whether the script ran is not known.
            CommandRefused: it has answered with an error, and why.
            StoreRefuses: it has forgotten what was used, so nothing was done.
            RevocationUnconfirmed: it ran, but too few replicas have said that they have it.
            UnknownLayout: a key holds what another version has written; nothing was changed.
        """
        before: str = getattr(redis, self._before)
        spelt = self._spelt.get(before) or self._spell(before)
        return self._send(redis, spelt, before, keys, arguments)

    async def run_each(
        self, redis: RedisClient, calls: Sequence[tuple[Sequence[bytes], Sequence[Argument]]]
    ) -> list[Any]:
        """Run it for each of these keys and arguments, one after the other, in one round trip.

        All keys lie in one bucket, and there are as many of each in every call. Redis does nothing
        else meanwhile. Raises as `run`; what was done before an error stays.
        """
        keys = [key for each, _ in calls for key in each]
        sizes = len(calls[0][0]), len(calls[0][1])
        arguments = [argument for _, each in calls for argument in each]
        spelt, before = self._spell_repeated(redis, lua.REPEATED)
        found: list[Any] = await self._send(redis, spelt, before, keys, (*sizes, *arguments))
        return found

    async def run_together(
        self, redis: RedisClient, calls: Sequence[tuple[Sequence[bytes], Sequence[Argument]]]
    ) -> list[Any]:
        """Run it, where it only reads, for keys of several buckets of one server, as `run_each`.

        Only the first key is declared. Raises as `run`; but what has gone wrong for one call is its
        outcome, a `redis.exceptions.RedisError`.
        """
        sizes = len(calls[0][0]), len(calls[0][1])
        values = [value for both in calls for each in both for value in each]
        spelt, before = self._spell_repeated(redis, lua.REPEATED_APART)
        declared = calls[0][0][:1]
        found: list[Any] = await self._send(redis, spelt, before, declared, (*sizes, *values))
        return found

    async def _send(
        self,
        redis: RedisClient,
        spelt: tuple[str, str],
        before: str,
        keys: Sequence[bytes],
        arguments: Sequence[Argument],
    ) -> Any:
        source, digest = spelt
        send = redis.change if self._acknowledged else redis.execute
        try:
            try:
                return await send("EVALSHA", digest, len(keys), *keys, *arguments)
            except NoScriptError:  # a server that has restarted; nothing ran: this is the first run
                return await send("EVAL", source, len(keys), *keys, *arguments)
        except CommandRefused as error:
            code = code_of(error.__cause__) if isinstance(error.__cause__, RedisError) else ""
            if code in UNREADABLE:
                raise UnknownLayout(*UNREADABLE[code]) from error
            if code == _OTHER_TIME:
                raise ClockWrong from error
            if code == _FORGOTTEN:
                redis.fence.on_forgotten()
                raise StoreRefuses(
                    "rollback", "Redis has forgotten which codes were used"
                ) from error
            if error.refusal == "error":
                error.args = (lua.located(str(error), self._lines, before.count("\n") + 1),)
            raise

    def _spell(self, before: str) -> tuple[str, str]:
        source = before + "\n" + self._numbers + lua.bind(self._source, self._values)
        source = lua.without_unused(source)
        digest = _digest(source)
        self._spelt[before] = source, digest
        _NAMES[digest] = self._lines[-1][0]
        return source, digest

    def _spell_repeated(self, redis: RedisClient, around: str) -> tuple[tuple[str, str], str]:
        """Spell it inside another script; return what stands before it, too."""
        before: str = getattr(redis, self._before)
        found = self._repeated.get((before, around))
        if found is None:
            source, _ = self._spelt.get(before) or self._spell(before)
            text = around.replace("SOURCE", source)
            found = self._repeated[before, around] = text, _digest(text)
            _NAMES[found[1]] = self._lines[-1][0]
        return found, before


class Script(Generic[P]):
    """A script that is called with all its keys and arguments."""

    def __init__(
        self,
        function: Callable[P, Any],
        parts: Mapping[str, str],
        constants: Constants,
        **options: Any,
    ) -> None:
        """Join and bind the script, as `Source` does with these options."""
        self._declared = Declared(function)
        self._source = Source(self._declared, parts, constants, **options)
        self.__doc__ = function.__doc__

    def __call__(
        self, redis: RedisClient, *_: P.args, **named: P.kwargs
    ) -> Coroutine[Any, Any, Any]:
        """Run it once. Raises as `Source.run`."""
        declared = self._declared
        return self._source.run(redis, declared.keys_of(named), declared.arguments_of(named))

    def run_together(
        self, redis: RedisClient, calls: Sequence[Mapping[str, Any]]
    ) -> Coroutine[Any, Any, list[Any]]:
        """Run it for each of these keywords. Raises as `Source.run_together`."""
        keys, arguments = self._declared.keys_of, self._declared.arguments_of
        return self._source.run_together(redis, [(keys(each), arguments(each)) for each in calls])


def script(
    *paths: str,
    text: str = "",
    constants: Constants | None = None,
    acknowledged: bool = True,
    one_key: bool = False,
) -> Callable[[Callable[P, Any]], Script[P]]:
    """Declare a script in files of `service/`, shared functions first, or of this `text`."""

    def declare(function: Callable[P, Any]) -> Script[P]:
        parts = {function.__name__: text} if text else texts(paths)
        options = {"acknowledged": acknowledged, "one_key": one_key}
        return Script(function, parts, constants or {}, **options)

    return declare
