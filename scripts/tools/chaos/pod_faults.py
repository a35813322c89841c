"""Faults of the pods and of their user store."""

import asyncio
from collections.abc import Awaitable, Callable

from tools.chaos.effect import Effect
from tools.chaos.pods import PODS
from tools.chaos.requests import Requests
from tools.chaos.schedule import Planned
from tools.chaos.stage import Stage

_SKEWS = (-240.0, -75.0, -25.0, -4.0, 4.0, 25.0, 75.0, 240.0)
"""Seconds by which a clock is ahead: within what is borne, and beyond."""

_FILL = 40
"""Requests whose lines are more than the pipe of a log holds."""

_BETWEEN = 0.3
"""Seconds between two questions whether a pod is ready."""


class PodFaults:
    """Each is done, lasts some seconds, and is undone."""

    def __init__(self, stage: Stage, requests: Requests) -> None:
        self._pods = stage.pods
        self._postgres = stage.postgres
        self._copy = stage.copy
        self._requests = requests
        self.by_kind: dict[str, Callable[[Planned], Awaitable[Effect]]] = {
            "kill a pod": self._kill_pod,
            "freeze a pod": self._freeze_pod,
            "stop a log reader": self._stop_log_reader,
            "skew a pod's clock": self._skew_clock,
            "restore the user store": self._restore_user_store,
            "freeze PostgreSQL": self._freeze_postgres,
            "restart PostgreSQL": self._restart_postgres,
        }

    async def _kill_pod(self, planned: Planned) -> Effect:
        pod = planned.pick % PODS
        self._pods.kill(pod)
        return await self._revive(pod, planned.lasts)

    async def _freeze_pod(self, planned: Planned) -> Effect:
        pod = planned.pick % PODS
        self._pods.freeze(pod)
        return await self._revive(pod, planned.lasts)

    async def _revive(self, pod: int, seconds: float) -> Effect:
        await asyncio.sleep(seconds)
        await self._pods.revive(pod)
        return Effect(f"pod {pod}")

    async def _stop_log_reader(self, planned: Planned) -> Effect:
        """What the pod logs fills the pipe, at the latest when it is asked whether it lives."""
        pod = planned.pick % PODS
        log = self._pods.log(pod)
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
        pod, ahead = planned.pick % PODS, _SKEWS[planned.pick // PODS % len(_SKEWS)]
        clock = self._pods.clock(pod)
        clock.seconds = ahead
        since = self._requests.now()
        while self._requests.now() < since + planned.lasts:
            await asyncio.sleep(_BETWEEN)
            await self._requests.send("ready", "", pod)
        until = self._requests.now()
        clock.seconds = 0.0
        return Effect(f"pod {pod}", since, until, ahead)

    async def _restore_user_store(self, planned: Planned) -> Effect:
        """Copy it, let people go on, and have it as it was in the copy."""
        await asyncio.to_thread(self._copy.take)
        since = self._requests.now()
        await asyncio.sleep(planned.lasts)
        until = self._requests.now()
        await asyncio.to_thread(self._copy.put_back)
        return Effect("the user store", since, until)

    async def _freeze_postgres(self, planned: Planned) -> Effect:
        assert self._postgres  # noqa: S101  scheduled for no other user store
        await asyncio.to_thread(self._postgres.freeze)
        await asyncio.sleep(planned.lasts)
        self._postgres.resume()
        return Effect("all processes")

    async def _restart_postgres(self, planned: Planned) -> Effect:
        assert self._postgres  # noqa: S101  scheduled for no other user store
        await asyncio.to_thread(self._postgres.stop)
        await asyncio.sleep(planned.lasts)
        await asyncio.to_thread(self._postgres.start)
        return Effect("all processes")
