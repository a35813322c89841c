"""`python -m tools.chaos.pod serve`: the service, with a clock that can be set while it runs.

Its clock is ahead by the seconds in the file that CHAOS_CLOCK names, and so is that of whatever
else asks Python for the time of day; the monotonic clock stays right, as it does on a machine that
is set. CHAOS_WITHOUT names a control (`unprotected.py`); CHAOS_HURRY: see `hurry.py`.
"""

import mmap
import os
import struct
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

_SECONDS = struct.Struct("=d")


class Skew:
    """How far the clock of a pod is ahead, in a file that both sides have mapped."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(_SECONDS.pack(0.0))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _SECONDS.size)

    @property
    def seconds(self) -> float:
        return float(_SECONDS.unpack(self._memory)[0])

    @seconds.setter
    def seconds(self, seconds: float) -> None:
        self._memory[:] = _SECONDS.pack(seconds)


def _skew_clocks(skew: Skew) -> None:
    """Skew them before the service is imported: most of it keeps the clock that it finds."""
    import service.clock

    right, seconds, nanoseconds = service.clock.system_clock, time.time, time.time_ns

    def skewed_clock() -> datetime:
        return right() + timedelta(seconds=skew.seconds)

    service.clock.system_clock = skewed_clock
    time.time = lambda: seconds() + skew.seconds
    time.time_ns = lambda: nanoseconds() + int(skew.seconds * 1e9)


if __name__ == "__main__":
    _skew_clocks(Skew(Path(os.environ["CHAOS_CLOCK"])))
    if os.environ.get("CHAOS_HURRY"):
        from tools.chaos.hurry import hurry

        hurry()
    if without := os.environ.get("CHAOS_WITHOUT"):
        from tools.chaos.unprotected import PROTECTIONS

        PROTECTIONS[without]()
    from service.cli.program import main

    sys.exit(main())
