"""Carrying the schedule out."""

import asyncio
from collections.abc import Awaitable, Callable

from tools.chaos.effect import Effect
from tools.chaos.pod_faults import PodFaults
from tools.chaos.pod_rules import PATIENCE
from tools.chaos.pods import PODS
from tools.chaos.redis_topologies import Standalone
from tools.chaos.replicated import ClusterServers, SentinelServers
from tools.chaos.requests import Requests
from tools.chaos.schedule import Planned
from tools.chaos.stage import Stage
from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import eventually

_BETWEEN = 0.05
"""Seconds between two losses on the line."""


class Faults:
    """Each kind of fault is done, lasts some seconds, and is undone. Here are those of Redis."""

    def __init__(self, stage: Stage, requests: Requests) -> None:
        self._redis = stage.redis
        self._requests = requests
        self._by_kind: dict[str, Callable[[Planned], Awaitable[Effect]]] = {
            "kill the primary": self._kill_primary,
            "freeze the primary": self._freeze_primary,
            "freeze a replica": self._freeze_replica,
            "kill a replica": self._kill_replica,
            "kill a primary ahead of its replicas": self._kill_ahead,
            "cut the power": self._cut_power,
            "lose replies": self._lose_replies,
            "slow lines": self._slow_lines,
            "cut lines": self._cut_lines,
            "part the primary": self._part_primary,
            "fail over": self._fail_over,
            "move slots": self._move_slots,
            "move slots key by key": self._move_slots,
            "scale in": self._scale_in,
            **PodFaults(stage, requests).by_kind,
        }

    async def inflict(self, planned: Planned) -> Effect:
        """Do it, and return when it is undone. What it has done, and to whom.

        Whatever hits Redis finds it whole: no promise holds when all copies are lost, one by one.
        """
        if planned.lane == "redis":
            await self._redis.heal()
        return await self._by_kind[planned.kind](planned)

    async def _kill_primary(self, planned: Planned) -> Effect:
        return await self._kill(self._redis.primary(planned.pick), planned.lasts)

    async def _kill_replica(self, planned: Planned) -> Effect:
        return await self._kill(self._redis.replica(planned.pick), planned.lasts)

    async def _freeze_primary(self, planned: Planned) -> Effect:
        return await self._freeze(self._redis.primary(planned.pick), planned.lasts)

    async def _freeze_replica(self, planned: Planned) -> Effect:
        return await self._freeze(self._redis.replica(planned.pick), planned.lasts)

    async def _kill(self, server: RedisServer, seconds: float) -> Effect:
        server.kill()
        await asyncio.sleep(seconds)
        await asyncio.to_thread(server.start)
        return Effect(server.directory.name)

    async def _freeze(self, server: RedisServer, seconds: float) -> Effect:
        server.freeze()
        await asyncio.sleep(seconds)
        server.resume()
        return Effect(server.directory.name)

    async def _kill_ahead(self, planned: Planned) -> Effect:
        """What it has written last is not known to any replica when it dies."""
        server = self._redis.primary(planned.pick)
        proxy = self._redis.proxy(server)
        proxy.hold_replication()
        await asyncio.sleep(planned.lasts)
        server.kill()
        proxy.cut()
        proxy.heal()

        async def is_replaced() -> bool:
            return await asyncio.to_thread(self._redis.primary, planned.pick) is not server

        await eventually(is_replaced)
        await asyncio.to_thread(server.start)
        return Effect(server.directory.name)

    async def _cut_power(self, planned: Planned) -> Effect:
        assert isinstance(self._redis, Standalone)  # noqa: S101  scheduled for no other
        self._redis.cut_power()
        await asyncio.sleep(planned.lasts)
        await self._redis.heal()
        return Effect("the server")

    async def _lose_replies(self, planned: Planned) -> Effect:
        """Of scripts, one at a time: whatever they have changed stays changed."""

        def lose() -> None:
            for proxy in self._redis.proxies():
                proxy.lose_reply(lambda request: b"EVALSHA" in request)

        return await self._disturb(lose, planned.lasts)

    async def _cut_lines(self, planned: Planned) -> Effect:
        def cut() -> None:
            for proxy in self._redis.proxies():
                proxy.cut()

        return await self._disturb(cut, planned.lasts)

    async def _slow_lines(self, planned: Planned) -> Effect:
        def slow() -> None:
            for proxy in self._redis.proxies():
                proxy.delay(planned.pick % 10 * 0.02)

        return await self._disturb(slow, planned.lasts)

    async def _part_primary(self, planned: Planned) -> Effect:
        """It lives, and nobody reaches it."""
        server = self._redis.primary(planned.pick)
        proxy = self._redis.proxy(server)
        proxy.part()
        await asyncio.sleep(planned.lasts)
        proxy.heal()
        return Effect(server.directory.name)

    async def _disturb(self, disturbance: Callable[[], None], seconds: float) -> Effect:
        """Do it over and over for so long, then have good lines again."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            disturbance()
            await asyncio.sleep(_BETWEEN)
        for proxy in self._redis.proxies():
            proxy.heal()
        return Effect("all lines")

    async def _fail_over(self, planned: Planned) -> Effect:
        assert isinstance(self._redis, SentinelServers)  # noqa: S101  scheduled for no other
        return Effect(await self._redis.fail_over())

    async def _move_slots(self, planned: Planned) -> Effect:
        assert isinstance(self._redis, ClusterServers)  # noqa: S101  scheduled for no other
        key_by_key = planned.kind == "move slots key by key"
        return Effect(await self._redis.move_slots(planned.pick, key_by_key=key_by_key))

    async def _scale_in(self, planned: Planned) -> Effect:
        """A primary leaves the cluster and runs on. It comes back when all pods serve without it,
        or should have for long."""
        assert isinstance(self._redis, ClusterServers)  # noqa: S101  scheduled for no other
        left = await self._redis.take_out(planned.pick)
        since = self._requests.now()
        await asyncio.sleep(planned.lasts)
        await asyncio.gather(*map(self._until_ready, range(PODS)))
        until = self._requests.now()
        await self._redis.take_in(left)
        return Effect(left.node.directory.name, since, until)

    async def _until_ready(self, pod: int) -> None:
        """Or until it has said for long that it is not; one that was killed is waited for."""
        began = self._requests.now()
        while not (answer := await self._requests.send("ready", "", pod)).is_ok:
            if answer.is_open:
                began = self._requests.now()
            elif self._requests.now() > began + PATIENCE:
                return
            await asyncio.sleep(0.2)
