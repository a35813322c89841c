"""Who had the machine's cores while something ran. Linux tells; elsewhere nothing is known."""

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from tools.bench.processes import Server

_TICKS = os.sysconf("SC_CLK_TCK")
_STEPPED_BACK = 1  # hashing threads are nicer than this


class Budget(msgspec.Struct, frozen=True):
    """Who had the machine's cores, as shares of them all together."""

    hashing: float
    """The service's hashing threads."""
    service: float
    """The rest of the service: its event loop above all."""
    redis: float
    client: float
    others: float
    """Other programs, and the kernel on nobody's behalf."""
    idle: float

    @property
    def hashing_of_ours(self) -> float:
        """Of the CPU that all of this took, which other programs do not change, that of hashing."""
        return self.hashing / (self.hashing + self.service + self.redis + self.client)

    def words(self) -> str:
        """The shares, for people."""
        return (
            f"Who had the cores while the flood was alone: hashing {self.hashing:.1%}, the rest of "
            f"the service {self.service:.1%}, Redis {self.redis:.1%}, the client "
            f"{self.client:.1%}, other programs and the kernel {self.others:.1%}, nobody "
            f"{self.idle:.1%}. Of the CPU that all of this took, whatever others did, hashing had "
            f"{self.hashing_of_ours:.1%}."
        )


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
