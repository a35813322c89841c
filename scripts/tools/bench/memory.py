"""Bytes of Redis for a living session, index, device and key expiry included."""

import shutil
import time
from argparse import Namespace
from pathlib import Path
from secrets import token_bytes

from tools.bench.harness import place
from tools.bench.processes import RedisServer, embedded
from tools.bench.results import Found, Row
from tools.report.progress import StatusLine

_LIMIT = 260
"""Bytes that a session may take at most in Valkey."""


async def measure(told: Namespace, tell: StatusLine) -> Found:
    """Measure the embedded Valkey, and a Redis where one is installed; or the server named."""
    installed = shutil.which("redis-server")
    servers = [told.redis] if told.redis else [None, *([Path(installed)] if installed else [])]
    rows: list[Row] = []
    for binary in servers:
        tell(f"memory of {told.sessions} sessions in {binary or 'the embedded Valkey'}")
        rows += await _measure(binary, told.sessions)
    note = f"{told.sessions:,} sessions, two for each user: record, expiry, the user's index,"
    return Found(rows, {"memory": f"{note} address and user agent included."})


async def _measure(binary: Path | None, sessions: int) -> list[Row]:
    """Open `sessions`, two for each user, in an empty server and see how much it has grown.

    The streams of events are capped, so they are no cost of a session: they are deleted and told
    apart. What clients and the append-only file have in their buffers is left out.
    """
    async with place(embedded(binary)) as here:
        await here.seeder.open([token_bytes(16)])  # loads the script
        empty = _used(here.redis)
        users = [token_bytes(16) for _ in range(sessions // 2)]
        await here.seeder.open(users)
        await here.seeder.open(users)
        filled = _used(here.redis)
        here.redis.client.delete(*here.redis.client.keys("events:*"))
        without_events, version = _used(here.redis), here.redis.version
    limit = _LIMIT if version.startswith("Valkey") else None
    return [
        Row("memory", "memory", name, round(size / sessions, 1), "bytes", by=version, limit=most)
        for name, size, most in (
            ("living session", without_events - empty, limit),
            ("audit event", filled - without_events, None),
        )
    ]


def _used(redis: RedisServer) -> int:
    """Read the bytes that the server has allocated for data, once it has freed what was deleted."""
    while (info := redis.client.info("memory"))["lazyfree_pending_objects"]:
        time.sleep(0.01)
    used: int = info["used_memory"] - info["mem_clients_normal"] - info["mem_aof_buffer"]
    return used
