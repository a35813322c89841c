"""Keeps the memory of this process out of core files, and away from other processes.

It holds data keys, signing keys and the pepper in clear as long as it serves. A core file would be
all of them on a disk, and whoever may trace a process reads them where they are.
"""

import resource
from contextlib import suppress

from service.serving.prctl import SET_DUMPABLE, prctl


def disable_core_dumps() -> None:
    """Leave no core file, and let no process of the same user read this one's memory (Linux).

    The limit is inherited by child processes, also by other programs; the rest is not, so each
    worker calls this for itself.
    """
    with suppress(OSError, ValueError):  # a system without: what can be kept is kept
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl(SET_DUMPABLE, 0)
