"""What a process waited for a core: the part of its slowness that is the machine's."""

import os
import time
from contextlib import suppress
from pathlib import Path


def waited_for_a_core(*pids: int) -> float:
    """Seconds that the threads of these processes, and of this one, were ready and not run.

    Nothing where the kernel does not count it.
    """
    waited = 0
    for pid in (os.getpid(), *pids):
        for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with suppress(OSError):  # it may have ended
                waited += int(thread.read_text().split()[1])
    return waited / 1e9


class Stopwatch:
    """Seconds since it was made, for bounds of what takes time and of what has time left."""

    def __init__(self, *pids: int) -> None:
        """`pids`: the processes that are waited for, besides this one."""
        self._pids = pids
        self._began, self._waited = time.monotonic(), waited_for_a_core(*pids)

    @property
    def all(self) -> float:
        """All of them: by so many what was fresh at the beginning may have aged."""
        return time.monotonic() - self._began

    @property
    def own(self) -> float:
        """Those in which the processes had a core, or asked for none."""
        return self.all - (waited_for_a_core(*self._pids) - self._waited)
