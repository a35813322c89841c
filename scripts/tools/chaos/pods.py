"""The service processes of a run, which share one user store and one Redis."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from service.settings import Secret
from tools.testbed.service_process import ServiceProcess

PODS = 3
_PATIENCE = 120.0
"""Seconds in which a pod must come up once its stores are there."""


class Pods:
    """`python -m service serve` three times, on ports that change when one starts again."""

    def __init__(
        self,
        directory: Path,
        redis_url: Secret,
        settings: Mapping[str, str],
        program: Sequence[str],
    ) -> None:
        self._services = []
        for number in range(PODS):
            own = directory / f"pod-{number}"
            own.mkdir()
            service = ServiceProcess(
                own, redis_url, program, SERVICE_DATA_DIR=str(directory / "var"), **settings
            )
            self._services.append(service)

    def url(self, number: int) -> str:
        """Where it listens, or listened before it was killed."""
        return self._services[number].url

    def logs(self) -> list[Path]:
        """What each has logged since it was last started."""
        return [service.directory / "service.log" for service in self._services]

    async def start(self) -> None:
        """The first makes the keys and tables."""
        await self._start(0)
        await asyncio.gather(*map(self._start, range(1, PODS)))

    async def stop(self) -> None:
        for number in range(PODS):
            self.kill(number)

    async def heal(self) -> None:
        """All run again."""
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
                await asyncio.to_thread(self._services[number].start)
            except AssertionError:
                self.kill(number)
                if loop.time() > deadline:
                    raise
                await asyncio.sleep(0.3)
            else:
                return
