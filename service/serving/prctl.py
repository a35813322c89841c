"""Linux' prctl(2): what a process says of itself to the kernel."""

import sys

SET_DUMPABLE = 4
SET_NAME = 15
SET_CHILD_SUBREAPER = 36
"""From linux/prctl.h."""


def prctl(option: int, value: int | bytes) -> bool:
    """Set it for this process. Return whether that was done: other systems have no such call."""
    if sys.platform != "linux":
        return False
    import ctypes  # takes milliseconds, which a command does not have before its handlers

    try:
        return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False
