"""Who had the machine's cores while something ran. Linux tells; elsewhere nothing is known."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tools.bench.processes import Server

_TICKS = os.sysconf("SC_CLK_TCK")
_STEPPED_BACK = 1  # hashing threads are nicer than this
_MACHINE = Path("/proc/stat")

Account = Mapping[str, float]
"""CPU seconds so far, by who had them; `all` of the machine's. Empty where this is not Linux."""


def account(service: Server, redis: float, client: float) -> Account:
    """Take it as of now; `redis` and `client` are their CPU seconds."""
    if not _MACHINE.exists():
        return {}
    ticks = [int(text) for text in _MACHINE.read_text().split("\n")[0].split()[1:9]]
    hashing = _stepped_back(service.pid)
    return {
        "hashing": hashing,
        "service": service.cpu() - hashing,
        "redis": redis,
        "client": client,
        "idle": (ticks[3] + ticks[4]) / _TICKS,
        "all": sum(ticks) / _TICKS,
    }


def _stepped_back(pid: int) -> float:
    """Read the CPU seconds of a process's threads that have a lower priority."""
    seconds = 0.0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # it has just ended
            fields = (thread / "stat").read_text().rpartition(")")[2].split()
            if int(fields[16]) >= _STEPPED_BACK:
                seconds += int((thread / "schedstat").read_text().split()[0]) / 1e9
    return seconds


def budget(before: Account, after: Account) -> str:
    """Tell how the time between two accounts was shared; nothing where it is not known."""
    if not before:
        return ""
    whole = max(after["all"] - before["all"], 1 / _TICKS)
    share = {name: (after[name] - before[name]) / whole for name in after if name != "all"}
    others = max(0.0, 1 - sum(share.values()))  # other programs, and the kernel on nobody's behalf
    ours = sum(share.values()) - share["idle"]
    return (
        f"Who had the cores while the flood was alone: hashing {share['hashing']:.1%}, the rest of "
        f"the service {share['service']:.1%}, Redis {share['redis']:.1%}, the client "
        f"{share['client']:.1%}, other programs and the kernel {others:.1%}, nobody "
        f"{share['idle']:.1%}. Of the CPU that all of this took, whatever others did, hashing had "
        f"{share['hashing'] / ours:.1%}."
    )
