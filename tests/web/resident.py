"""How much memory a process has."""

import time
from pathlib import Path

from tools.testbed.service_process import ServiceProcess

MIB = 1 << 20


def resident(service: ServiceProcess) -> int:
    """Bytes of the process that lie in memory."""
    assert service.process
    for line in Path(f"/proc/{service.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the process is gone")


class Growth:
    """What a process has grown by since it was made: at most so far, and now."""

    def __init__(self, service: ServiceProcess) -> None:
        self._service = service
        self._before = resident(service)
        self.highest = 0

    def look(self) -> int:
        """The growth by now, in bytes."""
        growth = resident(self._service) - self._before
        self.highest = max(self.highest, growth)
        return growth

    def watch(self, seconds: float) -> None:
        """Look again and again."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
            time.sleep(0.05)
