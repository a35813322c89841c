"""Bytes of Redis for a living session, index, device and key expiry included."""

import time
from pathlib import Path
from secrets import token_bytes
from tempfile import TemporaryDirectory

from tools.bench import processes
from tools.bench.results import Found, Row
from tools.bench.seeding import seeding

_LIMIT = 260
"""Bytes that a session may take at most in Valkey."""


async def measure(binary: Path | None, sessions: int) -> Found:
    """Open `sessions`, two for each user, in an empty server and see how much it has grown.

    The streams of events are capped, so they are no cost of a session: they are deleted and told
    apart. What clients and the append-only file have in their buffers is left out.
    """
    with TemporaryDirectory() as name, processes.redis_server(Path(name), binary) as redis:
        settings = processes.settings(Path(name), redis)
        async with seeding(settings) as seeder:
            await seeder.open([token_bytes(16)])  # loads the script
        empty = _used(redis)
        async with seeding(settings) as seeder:
            users = [token_bytes(16) for _ in range(sessions // 2)]
            await seeder.open(users)
            await seeder.open(users)
        filled = _used(redis)
        redis.client.delete(*redis.client.keys("events:*"))
        without_events, version = _used(redis), redis.version
    limit = _LIMIT if version.startswith("Valkey") else None
    figures = {
        "living session": ((without_events - empty) / sessions, limit),
        "audit event": ((filled - without_events) / sessions, None),
    }
    rows = [
        Row("memory", "memory", name, round(each, 1), "bytes", by=version, limit=most)
        for name, (each, most) in figures.items()
    ]
    note = f"{sessions:,} sessions, two for each user: record, expiry, the user's index, address"
    return Found(rows, {"memory": f"{note} and user agent included."})


def _used(redis: processes.RedisServer) -> int:
    """Bytes that the server has allocated for data, once it has freed what was deleted."""
    while (info := redis.client.info("memory"))["lazyfree_pending_objects"]:
        time.sleep(0.01)
    buffers: int = info["mem_clients_normal"] + info["mem_aof_buffer"]
    used: int = info["used_memory"]
    return used - buffers
