"""What a process waited for a core: the part of its slowness that is the machine's."""

import os
from contextlib import suppress
from pathlib import Path


def waited_for_a_core(*pids: int) -> float:
    """Seconds that the main threads of these processes, and of this one, were ready and not run.

    Nothing where the kernel does not count it.
    """
    waited = 0
    for pid in (os.getpid(), *pids):
        with suppress(OSError):
            waited += int(Path(f"/proc/{pid}/schedstat").read_text().split()[1])
    return waited / 1e9
