"""CPU and memory of processes, as Linux tells them: of any, not only of our own."""

import time
from pathlib import Path
from resource import RUSAGE_SELF, getpagesize, getrusage


def cpu(pid: int) -> float:
    """Read the CPU seconds, user and system, of all threads of a process so far."""
    # What clock_getcpuclockid(3) gives for a pid, which Python does not offer: nanoseconds,
    # where /proc/<pid>/stat counts in hundredths of a second.
    return time.clock_gettime(~pid << 3 | 2)


def resident(pid: int) -> int:
    """Read how many bytes of memory a process holds; without /proc, the most that we have."""
    statm = Path(f"/proc/{pid}/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * getpagesize()
    return getrusage(RUSAGE_SELF).ru_maxrss  # macOS: in bytes


def proportional(pid: int) -> int:
    """Read its share of memory in bytes, shared pages dealt out; else what it holds."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return int(rollup.partition("\nPss:")[2].split()[0]) * 1024
    except PermissionError:
        return resident(pid)


def tree(pid: int) -> list[int]:
    """List a process and all that it has started, and that these have; only itself elsewhere."""
    found = [pid]
    for process in found:  # grows meanwhile
        for children in Path(f"/proc/{process}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:  # it has just ended
                continue
    return found
