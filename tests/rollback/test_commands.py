"""What a command opens for itself is closed, wherever it is interrupted."""

import asyncio
import gc
import time
from pathlib import Path

from tools.testbed import migrated
from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import eventually

from service.composition.rollback import opened_redis
from service.settings import Secret, Settings
from tests.support.looking import ON_VALKEY
from tests.support.sqlite_threads import sqlite_threads


@ON_VALKEY
async def test_an_interrupted_command_leaves_nothing_open(
    keys: RedisServer, tmp_path: Path
) -> None:
    """While it connects, and while it takes leave. What is left to the collector of garbage it
    would tell of."""
    file = tmp_path / "service.db"
    migrated.lay(file)
    settings = Settings(redis_url=keys.url, database_url=Secret(f"sqlite:///{file}"))
    before = sqlite_threads()

    async def command() -> None:
        async with opened_redis(settings, fenced=True) as redis:
            await redis.execute("GET", b"barrier:{00}")

    async def is_closed() -> bool:
        return sqlite_threads() <= before

    await command()  # the first takes longer
    interrupted, ended = 0, False
    while not ended:  # half a millisecond later each time, until it ends before
        task, began = asyncio.create_task(command()), time.monotonic()
        while not ended and time.monotonic() - began < interrupted / 2000:
            await asyncio.sleep(0)
            ended = task.done()
        task.cancel()
        await asyncio.wait({task})
        interrupted += task.cancelled()
        del task
        gc.collect()
        await eventually(is_closed)
    assert interrupted
