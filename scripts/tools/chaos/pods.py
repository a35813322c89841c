"""The service processes of a run, which share one user store and one Redis."""

import asyncio
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from service.settings import Secret
from tools.chaos.pod import Skew
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
        own = {"PYTHONPATH": path, "CHAOS_CLOCK": str(clock)}
        super().__init__(directory, redis_url, ("-m", "tools.chaos.pod"), **own, **settings)

    def _open_log(self) -> IO[bytes]:
        return self.log.open()


class Pods:
    """The service three times, on ports that change when one starts again."""

    def __init__(
        self,
        directory: Path,
        redis_url: Secret,
        settings: Mapping[str, str],
        without: str = "",
    ) -> None:
        """`without` is the protection that they lack, if any."""
        self._services: list[Pod] = []
        for number in range(PODS):
            own = directory / f"pod-{number}"
            own.mkdir()
            data = {"SERVICE_DATA_DIR": str(directory / "var"), "CHAOS_WITHOUT": without}
            self._services.append(Pod(own, redis_url, **data, **settings))

    def url(self, number: int) -> str:
        """Where it listens, or listened before it was killed."""
        return self._services[number].url

    def logs(self) -> list[Path]:
        """What each has logged since it was last started."""
        return [service.directory / "service.log" for service in self._services]

    def log(self, number: int) -> LogPipe:
        """Where it logs to."""
        return self._services[number].log

    def clock(self, number: int) -> Skew:
        """Its clock."""
        return self._services[number].clock

    async def start(self) -> None:
        """The first makes the keys and tables."""
        await self._start(0)
        await asyncio.gather(*map(self._start, range(1, PODS)))

    async def stop(self) -> None:
        for number in range(PODS):
            self.kill(number)

    async def heal(self) -> None:
        """All run again, their clocks are right, and their logs are read."""
        for service in self._services:
            service.clock.seconds = 0.0
            service.log.read_on()
        await asyncio.gather(*map(self.revive, range(PODS)))

    def kill(self, number: int) -> None:
        """kill -9."""
        self._services[number].stop(signal.SIGKILL)

    def freeze(self, number: int) -> None:
        """It holds its connections and answers nothing."""
        process = self._services[number].process
        if process is not None:
            process.send_signal(signal.SIGSTOP)

    async def revive(self, number: int) -> None:
        """Start it again, or let it go on, whichever it needs."""
        process = self._services[number].process
        if process is not None:
            process.send_signal(signal.SIGCONT)
        else:
            await self._start(number)

    async def _start(self, number: int) -> None:
        """As long as its stores are away it refuses to start, so it is started again."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PATIENCE
        while True:
            try:
                await asyncio.to_thread(self._services[number].start, _PATIENCE)
            except AssertionError:
                self.kill(number)
                if loop.time() > deadline:
                    raise
                await asyncio.sleep(0.3)
            else:
                return
