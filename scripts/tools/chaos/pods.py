"""The service processes of a run, which share one user store and one Redis."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from service.settings import Secret
from tools.chaos.pod import Skew
from tools.testbed.forked import ForkedProgram, Running
from tools.testbed.log_pipe import LogPipe
from tools.testbed.redis_server import REPOSITORY
from tools.testbed.service_process import ServiceProcess

PODS = 3
_PATIENCE = 120.0
"""Seconds in which a pod must come up once its stores are there."""


class Pod(ServiceProcess):
    """The service, with a clock that can be set and a log whose reader can be stopped."""

    def __init__(self, directory: Path, redis_url: Secret, **settings: str) -> None:
        clock = directory / "clock"
        self.clock = Skew(clock)
        self.log = LogPipe(directory / "service.log")
        path = f"{REPOSITORY}:{REPOSITORY / 'scripts'}"
        own: dict[str, str | None] = {
            "PYTHONPATH": path,
            "CHAOS_CLOCK": str(clock),
            "SERVICE_REDIS_ROLLBACK": None,  # also where it is off by default, as in our tests
        }
        super().__init__(directory, redis_url, ("-m", "tools.chaos.pod"), **own | settings)

    def _open_log(self) -> IO[bytes]:
        return self.log.open()

    def _launched(self, log: IO[bytes]) -> Running:
        """Fork it, unless it hurries, which has to begin before the service is imported."""
        if self._environment.get("CHAOS_HURRY"):
            return super()._launched(log)
        program, *arguments = self.arguments[1:]
        return ForkedProgram(program, arguments, REPOSITORY, self._environment, log.fileno())

    def freeze(self) -> None:
        """Have it hold its connections and answer nothing, unless it was killed."""
        if self.process is not None:
            super().freeze()

    async def revive(self) -> None:
        """Start it again, or let it go on, whichever it needs.

        As long as its stores are away it refuses to start, so it is started again.
        """
        if self.process is not None:
            return self.resume()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PATIENCE
        while True:
            try:
                await asyncio.to_thread(self.start, _PATIENCE)
            except AssertionError:
                self.kill()
                if loop.time() > deadline:
                    raise
                await asyncio.sleep(0.3)
            else:
                return


class Pods(list[Pod]):
    """The service three times, on ports that change when one starts again."""

    def __init__(
        self,
        directory: Path,
        redis_url: Secret,
        settings: Mapping[str, str],
        without: str = "",
        count: int = PODS,
    ) -> None:
        """`without` is the protection that they lack, if any."""
        shared = {"SERVICE_DATA_DIR": str(directory / "var"), "CHAOS_WITHOUT": without, **settings}
        for number in range(count):
            own = directory / f"pod-{number}"
            own.mkdir()
            self.append(Pod(own, redis_url, **shared))

    async def start(self) -> None:
        """Start the first, which makes the keys and tables, and then the others."""
        await self[0].revive()
        await asyncio.gather(*(pod.revive() for pod in self[1:]))

    async def stop(self) -> None:
        for pod in self:
            pod.kill()

    async def heal(self) -> None:
        """Have all run again, with their clocks right and their logs read."""
        for pod in self:
            pod.clock.seconds = 0.0
            pod.log.read_on()
        await asyncio.gather(*(pod.revive() for pod in self))
