"""What can be measured besides calls, each by itself."""

from argparse import Namespace
from collections.abc import Awaitable, Callable

import msgspec

from tools.bench import (
    confirmations,
    cut_offs,
    flood,
    growth,
    guard,
    hostile,
    logout_storm,
    memory,
    people,
    propagation,
    scale,
    sealing,
    speed,
    start,
    topologies,
    workers,
)
from tools.bench.results import Found
from tools.report.progress import StatusLine


class Part(msgspec.Struct, frozen=True):
    """A part of the benchmark: its name for `--only`, the title of its table, and what it does."""

    name: str
    title: str
    about: str
    measure: Callable[[Namespace, StatusLine], Awaitable[Found]]


PARTS = (
    Part("growth", "With more sessions",
         "logout, me and refresh with 100 to --sessions-most living sessions", growth.measure),
    Part("connections", "With more or fewer connections",
         "logout, me and refresh on 1, 8, 32 and 64 connections", speed.connections),
    Part("workers", "Two workers", "refresh with one worker and with two", workers.measure),
    Part("scale", "With more workers and primaries",
         "CPU, messages, connections and memory of up to 8 workers, 6 primaries, 50 guards",
         scale.measure),
    Part("flood", "A flood of logins",
         "logins that insist, against bare bcrypt, and refresh and logout beside them",
         flood.measure),
    Part("storm", "A storm of logouts",
         "logouts at rates that do not wait, and me and refresh beside them", logout_storm.measure),
    Part("hostile", "Requests that are not meant well",
         "requests that are not meant well, what me and refresh feel, and the memory kept",
         hostile.measure),
    Part("memory", "Memory", "bytes for a session", memory.measure),
    Part("people", "People whom a worker has seen",
         "memory of a worker that --people have asked once each", people.measure),
    Part("start", "The start of a worker",
         "a worker from its start to its first answer, and an empty app", start.measure),
    Part("guard", "In app pods", "what a check costs an app pod, and what it keeps", guard.measure),
    Part("propagation", "From a 204 until the last of three pods refuses",
         "when app pods know of a logout or a cut-off", propagation.measure),
    Part("confirmations", "Logouts that wait for guards",
         "logouts that wait until all guards refuse, and whether they do", confirmations.measure),
    Part("cutoffs", "The end of all sessions of a user",
         "the end of all sessions of a user who has many", cut_offs.measure),
    Part("seal", "The keyring", "what sealing a secret takes", sealing.measure),
    Part("topologies", "Through Sentinels and a cluster",
         "calls on one server, behind Sentinels, on a cluster", topologies.measure),
)  # fmt: skip
"""In the order of their tables, and in which they are measured."""
