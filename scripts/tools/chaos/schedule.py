"""Which faults, when and for how long: a pure function of the seed, the topology and the length.

And controls: a protection switched off, and the faults that show that it is missing. A run with one
of them must find violations. One that finds none has a checker that sees nothing.
"""

import random
from dataclasses import dataclass
from typing import Literal, get_args

from tools.chaos.rollbacks import EMPTY, FLUSH, FLUSH_SOME, RESTORE, RESTORE_SOME

Topology = Literal["standalone", "sentinel", "cluster"]
TOPOLOGIES: tuple[Topology, ...] = get_args(Topology)
UserStore = Literal["sqlite", "postgresql"]
Lane = Literal["redis", "others"]
Rollback = Literal["restore", "flush"]

_PODS_AND_STORE = {
    "kill a pod": 2,
    "freeze a pod": 2,
    "stop a log reader": 2,
    "skew a pod's clock": 2,
    "restore the user store": 2,
}
_OTHERS: dict[UserStore, dict[str, int]] = {
    "sqlite": _PODS_AND_STORE,
    "postgresql": {**_PODS_AND_STORE, "freeze PostgreSQL": 1, "restart PostgreSQL": 1},
}
_LINES = {"lose replies": 4, "slow lines": 1, "cut lines": 1, "part the primary": 1}
_REPLICATED = {
    **_LINES, "kill the primary": 2, "freeze the primary": 2,
    "freeze a replica": 1, "kill a replica": 1,
}  # fmt: skip
_AHEAD = "kill a primary ahead of its replicas"
_FAULTS: dict[Topology, dict[str, int]] = {
    "standalone": {**_LINES, "kill the primary": 2, "freeze the primary": 2, "cut the power": 2},
    "sentinel": {**_REPLICATED, "fail over": 2, _AHEAD: 2},
    "cluster": {
        **_REPLICATED,
        "move slots": 2,
        "move slots key by key": 2,
        "scale in": 2,
        _AHEAD: 2,
    },
}
"""How often each comes up, in proportion."""

_ROLLBACKS: dict[Rollback, dict[Topology, dict[str, int]]] = {
    "restore": {
        "standalone": {RESTORE: 1},
        "sentinel": {RESTORE: 1},
        "cluster": {RESTORE: 1, RESTORE_SOME: 2},
    },
    "flush": {
        "standalone": {FLUSH: 1, EMPTY: 1},
        "sentinel": {FLUSH: 1, EMPTY: 1},
        "cluster": {FLUSH: 1, FLUSH_SOME: 2, EMPTY: 1},
    },
}
"""The same of what has Redis go back in time, which happens where it is asked for only. Pods live
then: what they have answered for within a second of it, nobody else knows."""
_BESIDE_ROLLBACKS = {"freeze a pod": 1}

_LASTS = {
    RESTORE: (0.2, 4.0),
    RESTORE_SOME: (0.2, 4.0),
    "kill the primary": (0.2, 1.5),
    "freeze the primary": (0.3, 2.5),
    "kill a pod": (0, 0.5),
    "skew a pod's clock": (2.0, 3.5),
}
"""The shortest and the longest, in seconds."""

_FAILS_OVER = {
    "kill the primary": (1.0, 4.0),
    "freeze the primary": (0.5, 4.5),
    "part the primary": (0.5, 4.5),
}
"""The same where others take over meanwhile, or nearly so."""

_USUAL = (0.3, 1.5)


@dataclass(frozen=True)
class Planned:
    """A fault to come. Times in seconds; `pick` says whom it hits, however many there are."""

    lane: Lane
    kind: str
    at: float
    lasts: float
    pick: int

    def __str__(self) -> str:
        return f"{self.at:7.2f} s  {self.kind} for {self.lasts:.2f} s (pick {self.pick})"


def plan(
    seed: int,
    topology: Topology,
    users: UserStore,
    seconds: float,
    only: tuple[str, ...] = (),
    rollbacks: tuple[Rollback, ...] = (),
) -> list[Planned]:
    """Make the schedule, in order of time.

    With `only`, all faults are of these kinds. With `rollbacks`, Redis goes back in time.
    """
    chance = random.Random(f"faults {seed} {topology}")  # the same on every machine
    chosen: list[Planned] = []
    lanes: dict[Lane, dict[str, int]] = {"redis": _FAULTS[topology], "others": _OTHERS[users]}
    if rollbacks:
        back = {kind: n for each in rollbacks for kind, n in _ROLLBACKS[each][topology].items()}
        lanes = {"redis": back, "others": _BESIDE_ROLLBACKS}
    for lane, weights in lanes.items():
        if only:
            weights = {kind: 1 for kind in only if kind in weights}
        if weights:
            fails_over = lane == "redis" and topology != "standalone"
            chosen += _lane(chance, lane, weights, seconds, fails_over)
    return sorted(chosen, key=lambda each: each.at)


def topology_of(seed: int) -> Topology:
    """Choose the topology by the seed."""
    return TOPOLOGIES[seed % 3]


def _lane(
    chance: random.Random, lane: Lane, weights: dict[str, int], seconds: float, fails_over: bool
) -> list[Planned]:
    found: list[Planned] = []
    at = chance.uniform(0.4, 1.2)
    while at < seconds - 0.5:
        kind = chance.choices(list(weights), list(weights.values()))[0]
        spans = {**_LASTS, **_FAILS_OVER} if fails_over else _LASTS
        lasts = round(chance.uniform(*spans.get(kind, _USUAL)), 2)
        found.append(Planned(lane, kind, round(at, 2), lasts, chance.randrange(1000)))
        at += lasts + chance.uniform(0.4, 1.5)
    return found


@dataclass(frozen=True)
class Control:
    """What is different from how the service is meant to run. By default, nothing."""

    topology: Topology = "standalone"
    """The one on which it can be seen."""
    faults: tuple[str, ...] = ()
    """The only kinds to inflict; empty: all."""
    appendfsync: str = "always"
    acknowledgements: int | None = None
    """SERVICE_REDIS_MIN_REPLICAS; `None`: all replicas that a primary has."""
    rollbacks: tuple[Rollback, ...] = ()
    """How Redis goes back in time; empty: not at all."""
    without: str = ""
    """The protection of `unprotected.py` that the pods lack."""
    has_sinks: bool = False
    """Whether events are copied."""


CONTROLS = {
    "everysec": Control("standalone", ("cut the power",), appendfsync="everysec"),
    "no-wait": Control("sentinel", ("kill a primary ahead of its replicas",), acknowledgements=0),
    "one-of-two": Control("sentinel", ("freeze the primary", "fail over"), acknowledgements=1),
    "redis-retries": Control("standalone", ("lose replies",), without="redis-retries"),
    "old-map": Control("cluster", ("scale in",), without="old-map"),
    "blocking-log": Control("standalone", ("stop a log reader",), without="blocking-log"),
    "old-rows": Control("standalone", ("restore the user store",), without="old-rows"),
    "any-clock": Control("standalone", ("skew a pod's clock",), without="any-clock"),
    "no-sessions-from": Control("standalone", ("kill a pod",), without="no-sessions-from"),
    "no-fence": Control("standalone", (RESTORE,), rollbacks=("restore",), without="no-fence"),
    "noted-first": Control("standalone", ("kill a pod",), without="noted-first", has_sinks=True),
}
"""By name."""
