"""What a storm does to the calls beside it: figures as they are kept in JSON."""

from collections.abc import Sequence

import msgspec

from tools.http_load.quantiles import quantile


class Disturbed(msgspec.Struct, frozen=True):
    """Milliseconds that a call takes while nothing else goes on, and during a storm."""

    name: str
    title: str
    idle_p50: float
    idle_p99: float
    p50: float
    p99: float
    ceiling: float = 3
    """At most so many times the idle p99."""

    @property
    def ratio(self) -> float:
        """The p99 of the storm over the idle one."""
        return self.p99 / self.idle_p99


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


class Flood(msgspec.Struct, frozen=True):
    """What logins on `connections` for `seconds` came to, and what they did to other calls.

    Rates are a second, and medians of rounds; the shares are of the bare rate of the same round.
    """

    connections: int
    seconds: float
    cost: int
    logins: float
    """Answered with tokens, with other calls beside them."""
    hashes: float
    """That the machine's cores alone make at the same cost."""
    shed: int
    shed_share: float
    """Answered 503, out of all that were sent."""
    without_retry_after: int
    """Of those shed; must be 0."""
    calls: Sequence[Disturbed]
    cores: int = 2
    """That hash."""
    rounds: int = 1
    alone: float = 0
    """Logins with nothing beside them."""
    alone_share: float = 0
    beside_share: float = 0
    budget: Budget | None = None
    """While there was nothing beside them."""
    share_floor: float = 0.9


class StormRow(msgspec.Struct, frozen=True):
    """Logouts at a rate that does not wait for answers, and two other calls meanwhile."""

    per_second: float
    """Logouts that were due."""
    share: float
    """Of what one worker can do."""
    at_once: int
    """How many were due at the same instant."""
    busy: float
    """The share of a core that the worker took."""
    p50: float
    p99: float
    """Of the logouts themselves, from when each was due: milliseconds."""
    calls: Sequence[Disturbed]

    @property
    def ratio(self) -> float:
        """The worse of the calls."""
        return max(call.ratio for call in self.calls)

    @property
    def holds(self) -> bool:
        """Whether no call got slower than it may."""
        return all(call.ratio <= call.ceiling for call in self.calls)


class LogoutStorm(msgspec.Struct, frozen=True):
    """Storms of several strengths on one worker."""

    connections: int
    seconds: float
    rounds: int
    capacity: float
    """Logouts a second in a closed loop on as many connections."""
    rows: Sequence[StormRow]
    share_promised: float = 0.65
    """The storm that the target is for."""


def disturbed(name: str, title: str, idle: Sequence[float], storm: Sequence[float]) -> Disturbed:
    """A call's figures from its latencies in seconds."""
    return Disturbed(
        name=name,
        title=title,
        idle_p50=milliseconds(idle, 0.5),
        idle_p99=milliseconds(idle, 0.99),
        p50=milliseconds(storm, 0.5),
        p99=milliseconds(storm, 0.99),
    )


def milliseconds(seconds: Sequence[float], share: float) -> float:
    """A quantile of these, in milliseconds."""
    return round(quantile(sorted(seconds), share) * 1e3, 3)
