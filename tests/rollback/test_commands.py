"""What a command opens for itself is closed, wherever it is interrupted."""

import asyncio
import gc
from pathlib import Path

import pytest
from tools.testbed import migrated
from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import eventually

from service.composition.rollback import opened_redis
from service.settings import Secret, Settings
from tests.support.looking import ON_VALKEY
from tests.support.sqlite_threads import sqlite_threads


@ON_VALKEY
@pytest.mark.parametrize("closing", [False, True], ids=["opening", "closing"])
async def test_an_interrupted_command_leaves_nothing_open(
    keys: RedisServer, tmp_path: Path, closing: bool
) -> None:
    """While it connects to the user store, and while it takes leave. What is left to the collector
    of garbage it would tell of."""
    file, used = tmp_path / "service.db", asyncio.Event()
    migrated.lay(file)
    settings = Settings(redis_url=keys.url, database_url=Secret(f"sqlite:///{file}"))

    async def command() -> None:
        async with opened_redis(settings, fenced=True) as redis:
            await redis.execute("GET", b"barrier:{00}")
            used.set()

    async def connects() -> bool:
        return bool(sqlite_threads() - before)

    async def is_closed() -> bool:
        return sqlite_threads() <= before

    before, task = sqlite_threads(), asyncio.create_task(command())
    await (used.wait() if closing else eventually(connects))
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    gc.collect()
    await eventually(is_closed)
