"""Negative controls: a protection switched off, and the faults that show that it is missing.

A run with one of them must find violations. One that finds none has a checker that sees nothing.
"""

from collections.abc import Mapping, Sequence

import msgspec

from tools.chaos.schedule import Topology
from tools.testbed.redis_server import REPOSITORY


class Control(msgspec.Struct, frozen=True):
    """What is different from how the service is meant to run. By default, nothing."""

    topology: Topology = "standalone"
    """The one on which it can be seen."""
    faults: tuple[str, ...] = ()
    """The only kinds to inflict on Redis; empty: all."""
    appendfsync: str = "always"
    acknowledgements: int | None = None
    """SERVICE_REDIS_MIN_REPLICAS; `None`: all replicas that a primary has."""
    program: Sequence[str] = ("-m", "service")
    environment: Mapping[str, str] = {}


CONTROLS = {
    "everysec": Control("standalone", ("cut the power",), appendfsync="everysec"),
    "no-wait": Control("sentinel", ("kill a primary ahead of its replicas",), acknowledgements=0),
    "one-of-two": Control("sentinel", ("freeze the primary", "fail over"), acknowledgements=1),
    "redis-retries": Control(
        "standalone",
        ("lose replies",),
        program=("-m", "tools.chaos.retrying"),
        environment={"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'scripts'}"},
    ),
}
"""By name."""
