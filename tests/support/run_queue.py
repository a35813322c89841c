"""What a process waited for a core: the part of its slowness that is the machine's."""

import os
import time
from contextlib import suppress
from pathlib import Path


class Stopwatch:
    """Seconds since it was made, for bounds of what takes time and of what has time left."""

    def __init__(self, *pids: int) -> None:
        """`pids`: the processes that are waited for, besides this one."""
        self._pids = os.getpid(), *pids
        self._began, self._before = time.monotonic(), _waits(self._pids)

    @property
    def all(self) -> float:
        """All of them: by so many what was fresh at the beginning may have aged."""
        return time.monotonic() - self._began

    @property
    def waited(self) -> float:
        """Those that threads of the processes were ready and not run, of all that there still are.

        Nothing where the kernel does not count it.
        """
        found = _waits(self._pids)
        return sum(waited - self._before.get(thread, 0) for thread, waited in found.items()) / 1e9

    @property
    def own(self) -> float:
        """Those in which the processes had a core, or asked for none."""
        return self.all - self.waited


def _waits(pids: tuple[int, ...]) -> dict[Path, int]:
    """Nanoseconds by thread: the sum of all would fall when one ends."""
    waits = {}
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with suppress(OSError):  # it may have ended
                waits[thread] = int(thread.read_text().split()[1])
    return waits
