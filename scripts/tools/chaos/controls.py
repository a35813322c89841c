"""Negative controls: a protection switched off, and the faults that show that it is missing.

A run with one of them must find violations. One that finds none has a checker that sees nothing.
"""

from dataclasses import dataclass

from tools.chaos.schedule import Topology


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
    without: str = ""
    """The protection of `unprotected.py` that the pods lack."""


CONTROLS = {
    "everysec": Control("standalone", ("cut the power",), appendfsync="everysec"),
    "no-wait": Control("sentinel", ("kill a primary ahead of its replicas",), acknowledgements=0),
    "one-of-two": Control("sentinel", ("freeze the primary", "fail over"), acknowledgements=1),
    "redis-retries": Control("standalone", ("lose replies",), without="redis-retries"),
    "old-map": Control("cluster", ("scale in",), without="old-map"),
    "blocking-log": Control("standalone", ("stop a log reader",), without="blocking-log"),
    "old-rows": Control("standalone", ("restore the user store",), without="old-rows"),
    "any-clock": Control("standalone", ("skew a pod's clock",), without="any-clock"),
}
"""By name."""
