"""Lua scripts: loaded once by name, called by digest, one round trip each."""

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError

from service.keyspace.link import Argument, Link


class Script:
    """One atomic change. Its source says what its keys, arguments and outcomes are."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    @classmethod
    def from_files(cls, package: str, *names: str) -> "Script":
        """The files `names` of `package`, one after the other: shared functions first."""
        return cls("\n".join((files(package) / name).read_text(encoding="utf-8") for name in names))

    async def __call__(
        self, link: Link, keys: Sequence[bytes], arguments: Sequence[Argument]
    ) -> Any:
        """Run it once. All `keys` lie in one bucket.

        Raises:
            StoreUnavailable: Redis did not answer; whether the script ran is not known.
        """
        try:
            return await link.execute("EVALSHA", self._digest, len(keys), *keys, *arguments)
        except NoScriptError:  # a server that has restarted; nothing ran, so this is the first run
            return await link.execute("EVAL", self._source, len(keys), *keys, *arguments)
