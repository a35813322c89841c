"""Lua scripts: loaded once by name, called by digest, one round trip each."""

import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from service.errors import ClockWrong, UnknownLayout
from service.redis.client import RedisClient
from service.redis.connection import Argument
from service.redis.refusals import CommandRefused, code_of

_OTHER_LAYOUT, _OTHER_TIME = ("LAYOUT", "WRONGTYPE"), "CLOCK"
"""Codes of error replies: a script has found what it cannot read, or a key of another kind; and a
clock of ours by which it judges nothing."""


class Script:
    """One atomic step. Its source says what its keys, arguments and outcomes are.

    `acknowledged`: whether its outcome waits until replicas have it, where the link is told so.
    What only reads need not, nor does what may be lost.
    """

    def __init__(self, source: str, *, acknowledged: bool = True) -> None:
        self._source = source
        self._acknowledged = acknowledged
        self._spelt: dict[str, tuple[str, str]] = {}  # by what the link puts before it

    @classmethod
    def from_files(
        cls,
        package: str,
        *names: str,
        constants: Mapping[str, str | int] | None = None,
        acknowledged: bool = True,
    ) -> "Script":
        """The files `names` of `package`, one after the other: shared functions first.

        `constants` stand before them as locals, for what never changes: each argument costs Redis
        some 0.2 µs at every call.
        """
        known = (constants or {}).items()
        lines = [
            f"local {name} = {value}" if isinstance(value, int) else f"local {name} = '{value}'"
            for name, value in known
        ]
        texts = [(files(package) / name).read_text(encoding="utf-8") for name in names]
        return cls("\n".join([*lines, *texts]), acknowledged=acknowledged)

    async def __call__(
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
            raise

    def _spell(self, before: str) -> tuple[str, str]:
        source = before + "\n" + self._source
        digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        self._spelt[before] = source, digest
        return source, digest
