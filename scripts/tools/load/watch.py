"""Memory and CPU of processes over time, out of /proc: of a process and all that it has started."""

import asyncio
import time
from pathlib import Path

import msgspec

from tools.http_load.proc import cpu, proportional, tree
from tools.load.target import UnusableError

_REDIS = ("valkey-server", "redis-server")
_INTERVAL = 1.0


class Sample(msgspec.Struct, frozen=True):
    """What some processes had at a time, in seconds of `time.perf_counter`."""

    at: float
    memory: int
    """Bytes: the proportional set size, which counts shared pages once; else the resident set."""
    cpu: float
    """Seconds, user and system, since they were started."""


class Watch:
    """Looks at process trees once a second. An embedded Redis is told apart from its service."""

    def __init__(self, pids: list[int]) -> None:
        """Raise UnusableError where there is no such process, or no /proc."""
        self._pids = pids
        self.samples: dict[str, list[Sample]] = {}
        """By name: `4711` for a process and its children, `4711 redis` for the Redis among them."""
        for pid in pids:
            if not Path(f"/proc/{pid}/stat").exists():
                raise UnusableError(f"--watch-pid {pid}: there is no such process here")

    async def run(self) -> None:
        """Look until cancelled."""
        while self._pids:
            # In a thread: adding up the pages of a big process takes milliseconds.
            for name, sample in (await asyncio.to_thread(_look, self._pids)).items():
                self.samples.setdefault(name, []).append(sample)
            await asyncio.sleep(_INTERVAL)


def _look(pids: list[int]) -> dict[str, Sample]:
    now, sums = time.perf_counter(), dict[str, tuple[int, float]]()
    for pid in pids:
        for process in tree(pid):
            try:
                name = f"{pid} redis" if _command(process) in _REDIS else f"{pid}"
                memory, seconds = sums.get(name, (0, 0.0))
                sums[name] = memory + proportional(process), seconds + cpu(process)
            except OSError:  # it has just ended
                continue
    return {name: Sample(now, *summed) for name, summed in sums.items()}


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()
