"""Carrying the schedule out: each fault is done, lasts some seconds, and is undone."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from tools.chaos import rollbacks
from tools.chaos.app_pod import AppPod
from tools.chaos.going_back import GoingBack
from tools.chaos.pod_rules import PATIENCE
from tools.chaos.pods import Pod
from tools.chaos.redis_topologies import ClusterServers, SentinelServers, Standalone
from tools.chaos.requests import Requests
from tools.chaos.schedule import Planned
from tools.chaos.stage import Stage
from tools.testbed.proxy import Proxy
from tools.testbed.server_process import ServerProcess
from tools.testbed.waiting import eventually

_BETWEEN = 0.05
"""Seconds between two losses on the line."""

_LOOKS = 0.2
"""Seconds between two questions whether a pod is ready."""

_SKEWS = (-240.0, -75.0, -25.0, -4.0, 4.0, 25.0, 75.0, 240.0)
"""Seconds by which a clock is ahead: within what is borne, and beyond."""

_FILL = 40
"""Requests whose lines are more than the pipe of a log holds."""


class Effect(msgspec.Struct, frozen=True):
    """What a fault has done: to whom, and when, in seconds since the run began, it certainly was in
    effect."""

    target: str
    since: float = 0.0
    until: float = 0.0
    ahead: float = 0.0
    """Seconds by which the target's clock was ahead."""


Change = Callable[[ServerProcess], object]
_KILL: tuple[Change, Change] = (lambda it: it.kill(), lambda it: it.start())
_FREEZE: tuple[Change, Change] = (lambda it: it.freeze(), lambda it: it.resume())
_RESTART: tuple[Change, Change] = (lambda it: it.stop(), lambda it: it.start())
"""What stops a server, and what has it go on."""


class Nemesis:
    """Inflicts faults of every kind."""

    def __init__(self, stage: Stage, requests: Requests, app_pod: AppPod) -> None:
        """`app_pod` is to have guards that start when Redis has gone back."""
        self.stage = stage
        self._app_pod = app_pod
        self._redis = redis = stage.redis
        self._pods = stage.pods
        self._requests = requests
        self._by_kind: dict[str, Callable[[Planned], Awaitable[Effect]]] = {
            "kill the primary": lambda it: self._stop(it, redis.primary(it.pick), *_KILL),
            "kill a replica": lambda it: self._stop(it, redis.replica(it.pick), *_KILL),
            "freeze the primary": lambda it: self._stop(it, redis.primary(it.pick), *_FREEZE),
            "freeze a replica": lambda it: self._stop(it, redis.replica(it.pick), *_FREEZE),
            "kill a primary ahead of its replicas": self._kill_ahead,
            "cut the power": self._cut_power,
            # Of scripts, one at a time: whatever they have changed stays changed.
            "lose replies": lambda it: self._disturb(it, lambda line: line.lose_reply(_is_script)),
            "slow lines": lambda it: self._disturb(it, lambda line: line.delay(it.pick % 10 / 50)),
            "cut lines": lambda it: self._disturb(it, Proxy.cut),
            "part the primary": self._part_primary,
            "fail over": self._fail_over,
            "move slots": self._move_slots,
            "move slots key by key": self._move_slots,
            "scale in": self._scale_in,
            **dict.fromkeys(rollbacks.KINDS, self._roll_back),
            "kill a pod": lambda it: self._stop_pod(Pod.kill, it),
            "freeze a pod": lambda it: self._stop_pod(Pod.freeze, it),
            "stop a log reader": self._stop_log_reader,
            "skew a pod's clock": self._skew_clock,
            "restore the user store": self._restore_user_store,
            "freeze PostgreSQL": lambda it: self._stop(it, stage.postgres, *_FREEZE),
            "restart PostgreSQL": lambda it: self._stop(it, stage.postgres, *_RESTART),
        }

    async def inflict(self, planned: Planned) -> Effect:
        """Do it, and return when it is undone. What it has done, and to whom.

        Whatever hits Redis finds it whole: no promise holds when all copies are lost, one by one.
        """
        if planned.lane == "redis":
            await self._redis.heal()
        return await self._by_kind[planned.kind](planned)

    async def _stop(
        self, planned: Planned, server: ServerProcess | None, stop: Change, go_on: Change
    ) -> Effect:
        assert server  # noqa: S101  scheduled for no other user store
        await asyncio.to_thread(stop, server)
        await asyncio.sleep(planned.lasts)
        await asyncio.to_thread(go_on, server)
        return Effect(server.directory.name)

    async def _kill_ahead(self, planned: Planned) -> Effect:
        """Kill it when what it has written last is not known to any replica."""
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

    async def _part_primary(self, planned: Planned) -> Effect:
        """Have nobody reach it while it lives."""
        server = self._redis.primary(planned.pick)
        proxy = self._redis.proxy(server)
        proxy.part()
        await asyncio.sleep(planned.lasts)
        proxy.heal()
        return Effect(server.directory.name)

    async def _disturb(self, planned: Planned, disturbance: Callable[[Proxy], None]) -> Effect:
        """Do it to every line over and over, then have good lines again."""
        until = self._requests.now() + planned.lasts
        while self._requests.now() < until:
            for proxy in self._redis.proxies():
                disturbance(proxy)
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
        """Have a primary leave the cluster and run on. It comes back when all pods serve without
        it, or should have for long."""
        assert isinstance(self._redis, ClusterServers)  # noqa: S101  scheduled for no other
        left = await self._redis.take_out(planned.pick)
        since = self._requests.now()
        await asyncio.sleep(planned.lasts)
        await asyncio.gather(*map(self._until_ready, range(len(self._pods))))
        until = self._requests.now()
        await self._redis.take_in(left)
        return Effect(left.node.directory.name, since, until)

    async def _roll_back(self, planned: Planned) -> Effect:
        """Have Redis go back to a copy of before, or to nothing; until all pods are ready again. A
        guard starts then."""
        back = GoingBack(self._redis, planned, self.stage.directory)
        await back.copy()
        since = self._requests.now()
        await asyncio.sleep(planned.lasts)
        until = self._requests.now()
        await back.go_back()
        await asyncio.gather(*map(self._until_ready, range(len(self._pods))))
        await self._app_pod.start_another()
        return Effect(str(back), since, until)

    async def _until_ready(self, pod: int) -> None:
        """Wait, or until it has said for long that it is not; one that was killed is waited for."""
        began = self._requests.now()
        while not (answer := await self._requests.send("ready", "", pod)).is_ok:
            if answer.is_open:
                began = self._requests.now()
            elif self._requests.now() > began + PATIENCE:
                return
            await asyncio.sleep(_LOOKS)

    async def _stop_pod(self, stop: Callable[[Pod], None], planned: Planned) -> Effect:
        number = planned.pick % len(self._pods)
        stop(self._pods[number])
        await asyncio.sleep(planned.lasts)
        await self._pods[number].revive()
        return Effect(f"pod {number}")

    async def _stop_log_reader(self, planned: Planned) -> Effect:
        """Let the pipe of a log fill, at the latest when the pod is asked whether it lives."""
        pod = planned.pick % len(self._pods)
        log = self._pods[pod].log
        log.stop_reading()
        since = self._requests.now()
        await asyncio.sleep(planned.lasts)
        for _ in range(_FILL):
            if not (await self._requests.send("live", "", pod)).is_ok:
                break
        until = self._requests.now()
        log.read_on()
        return Effect(f"pod {pod}", since, until)

    async def _skew_clock(self, planned: Planned) -> Effect:
        """Set it, as somebody does who is wrong, and set it right again."""
        turns, pod = divmod(planned.pick, len(self._pods))
        ahead = _SKEWS[turns % len(_SKEWS)]
        clock = self._pods[pod].clock
        clock.seconds = ahead
        since = self._requests.now()
        while self._requests.now() < since + planned.lasts:
            await asyncio.sleep(_LOOKS)
            await self._requests.send("ready", "", pod)
        until = self._requests.now()
        clock.seconds = 0.0
        return Effect(f"pod {pod}", since, until, ahead)

    async def _restore_user_store(self, planned: Planned) -> Effect:
        """Copy it, let people go on, and have it as it was in the copy."""
        await asyncio.to_thread(self.stage.copy.take)
        since = self._requests.now()
        await asyncio.sleep(planned.lasts)
        until = self._requests.now()
        await asyncio.to_thread(self.stage.copy.put_back)
        return Effect("the user store", since, until)


def _is_script(request: bytes) -> bool:
    return b"EVALSHA" in request
