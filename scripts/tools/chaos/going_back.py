"""Has Redis go back in time: to a copy of a while ago, or to nothing."""

import asyncio
from pathlib import Path

from tools.chaos.redis_topologies import Redis
from tools.chaos.rollbacks import FLUSH, FLUSH_SOME, RESTORE, RESTORE_SOME, SOME
from tools.chaos.schedule import Planned
from tools.testbed.redis_copy import RedisCopy, empty
from tools.testbed.redis_server import RedisServer


class GoingBack:
    """What is done to all servers, or to one primary of a cluster and its replica."""

    def __init__(self, redis: Redis, planned: Planned, directory: Path) -> None:
        self._redis = redis
        self._kind = planned.kind
        groups = redis.groups()
        self._groups = [groups[planned.pick % len(groups)]] if self._kind in SOME else groups
        self._copies = [RedisCopy(directory / f"copy-{n}") for n in range(len(self._groups))]
        self._as_dump = bool(planned.pick // 3 % 2)

    def __str__(self) -> str:
        how = ""
        if self._kind in (RESTORE, RESTORE_SOME):
            how = ", by a dump" if self._as_dump else ", by the append-only file"
        return ", ".join(group[0].directory.name for group in self._groups) + how

    async def copy(self) -> None:
        """Take the copies, where it goes back to one."""
        if self._kind in (RESTORE, RESTORE_SOME):
            for copy, (primary, *_) in zip(self._copies, self._groups, strict=True):
                await asyncio.to_thread(copy.take, primary, as_dump=self._as_dump)

    async def go_back(self) -> None:
        """Do it, and have all servers serve again."""
        if self._kind in (FLUSH, FLUSH_SOME):
            for primary, *_ in self._groups:
                await asyncio.to_thread(_flush, primary)
            return
        for group in self._groups:
            for server in reversed(group):  # else a replica takes over
                server.kill()
                self._redis.proxy(server).cut()
        for copy, group in zip(self._copies, self._groups, strict=True):
            for server in group:
                if self._kind in (RESTORE, RESTORE_SOME):
                    await asyncio.to_thread(copy.put_back, server)
                else:
                    await asyncio.to_thread(empty, server)
        starts = (asyncio.to_thread(server.start) for group in self._groups for server in group)
        await asyncio.gather(*starts)
        await self._redis.heal()


def _flush(server: RedisServer) -> None:
    with server.client() as client:
        client.flushall()
