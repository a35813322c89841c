"""The service as it would be with redis-py's default: a command without a reply is sent again.

A negative control for `scripts/chaos`, never for use.
"""

import asyncio
import sys
from typing import Any

from service.cli.program import main
from service.errors import StoreUnavailable
from service.redis.client import RedisClient
from service.redis.connection import Argument

_TIMES = 10

_once = RedisClient._execute


async def _again_and_again(
    redis_client: RedisClient, command: tuple[Argument, ...], changing: bool
) -> Any:
    for _ in range(_TIMES):
        try:
            return await _once(redis_client, command, changing)
        except StoreUnavailable:
            await asyncio.sleep(0.01)
    return await _once(redis_client, command, changing)


if __name__ == "__main__":
    RedisClient._execute = _again_and_again  # type: ignore[assignment,method-assign]
    sys.exit(main())
