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
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from types import SimpleNamespace

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
    """Skew them, also for what has been imported and keeps the clock that it has found."""
    import service.clock

    seconds, nanoseconds = time.time, time.time_ns

    def skewed(zone: tzinfo) -> datetime:
        return datetime.now(zone) + timedelta(seconds=skew.seconds)

    # Which the clock of the service asks.
    service.clock.datetime = SimpleNamespace(now=skewed)  # type: ignore[assignment,attr-defined]
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
