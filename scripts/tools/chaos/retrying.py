"""The service as it would be with redis-py's default: a command without a reply is sent again.

A negative control for `scripts/chaos`, never for use.
"""

import asyncio
import sys
from typing import Any

from service.cli import main
from service.errors import StoreUnavailable
from service.keyspace.line import Argument
from service.keyspace.link import Link

_TIMES = 10

_once = Link._execute


async def _again_and_again(link: Link, command: tuple[Argument, ...], changing: bool) -> Any:
    for _ in range(_TIMES):
        try:
            return await _once(link, command, changing)
        except StoreUnavailable:
            await asyncio.sleep(0.01)
    return await _once(link, command, changing)


if __name__ == "__main__":
    Link._execute = _again_and_again  # type: ignore[assignment,method-assign]
    sys.exit(main())
