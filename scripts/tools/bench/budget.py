"""Who had the machine's cores while something ran. Linux tells; elsewhere nothing is known."""

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from tools.bench.disturbance import Budget
from tools.bench.processes import Server

_TICKS = os.sysconf("SC_CLK_TCK")
_STEPPED_BACK = 1  # hashing threads are nicer than this


class Account(msgspec.Struct, frozen=True):
    """CPU seconds so far."""

    hashing: float
    service: float
    redis: float
    client: float
    all: float
    idle: float


def account(service: Server, redis: float, client: float) -> Account | None:
    """As of now; `redis` and `client` are their CPU seconds. `None` where this is not Linux."""
    machine = Path("/proc/stat")
    if not machine.exists():
        return None
    ticks = [int(text) for text in machine.read_text().split("\n")[0].split()[1:9]]
    hashing = _stepped_back(service.pid)
    return Account(
        hashing=hashing,
        service=service.cpu() - hashing,
        redis=redis,
        client=client,
        all=sum(ticks) / _TICKS,
        idle=(ticks[3] + ticks[4]) / _TICKS,
    )


def _stepped_back(pid: int) -> float:
    """CPU seconds of a process's threads that have a lower priority."""
    seconds = 0.0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # it has just ended
            fields = (thread / "stat").read_text().rpartition(")")[2].split()
            if int(fields[16]) >= _STEPPED_BACK:
                seconds += int((thread / "schedstat").read_text().split()[0]) / 1e9
    return seconds


def budget(before: Account | None, after: Account | None) -> Budget | None:
    """How the time between two accounts was shared."""
    if before is None or after is None:
        return None
    whole = max(after.all - before.all, 1 / _TICKS)

    def share(name: str) -> float:
        spent: float = getattr(after, name) - getattr(before, name)
        return round(spent / whole, 4)

    ours = {name: share(name) for name in ("hashing", "service", "redis", "client", "idle")}
    return Budget(**ours, others=round(max(0.0, 1 - sum(ours.values())), 4))
