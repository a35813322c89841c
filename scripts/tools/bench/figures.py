"""What a call costs, as it is kept in JSON, and how rounds become one figure."""

from collections.abc import Callable, Sequence
from statistics import median

import msgspec

_MEMORY_CEILING = 260
_CEILINGS = {"logout": 3.0, "me": 2.0, "refresh": 5.0, "enable": 5.0}


class Sample(msgspec.Struct, frozen=True):
    """One load on one server. Everything but the rates is per request."""

    cpu: float
    """CPU of the server process, user and system, all threads: µs."""
    per_second: float
    p50: float
    p99: float
    """Milliseconds. Connections that never pause queue for one worker: this is mostly waiting."""
    redis_cpu: float = 0
    """CPU of the Redis process, user and system, all threads and children: µs."""
    redis_main_thread: float = 0
    round_trips: float = 0
    """Scripts called over the wire."""
    commands: float = 0
    """Redis commands, those that scripts call included."""


class Row(msgspec.Struct, frozen=True):
    """A call: medians over the rounds. `ratio` is CPU over that of the floor in the same round."""

    name: str
    title: str
    ratio: float
    lowest: float
    highest: float
    sample: Sample

    @property
    def ceiling(self) -> float | None:
        """What it may cost at most, in multiples of the floor; `None` where nothing is set."""
        return _CEILINGS.get(self.name)


class Bare(msgspec.Struct, frozen=True):
    """What a logout cannot do without, each by itself and without HTTP: CPU in µs."""

    jwt: float
    """PyJWT verifies one of our access tokens, each seen for the first time."""
    signature: float
    """The ES256 signature alone."""
    evalsha: float
    """Of the client: redis-py's usual one calls an empty script."""
    evalsha_redis: float
    """Of Redis, for the same."""


class Memory(msgspec.Struct, frozen=True):
    """What sessions take in Redis at two for each user, without the streams of events."""

    server: str
    sessions: int
    session_bytes: float
    event_bytes: float

    @property
    def ceiling(self) -> int | None:
        """Bytes that a session may take at most; set for Valkey only."""
        return _MEMORY_CEILING if self.server.startswith("Valkey") else None


class Sealing(msgspec.Struct, frozen=True):
    """Microseconds for one TOTP secret."""

    seal: float
    open: float
    ceiling: float = 10


class Guard(msgspec.Struct, frozen=True):
    """What an app pod pays for a check in `feed` mode. CPU in µs, bytes of the process."""

    cached: float
    """A token that was checked before."""
    bare: float
    """Verifying an ES256 signature, and nothing else."""
    uncached: float
    """A token that is checked for the first time."""
    revocations: int
    revocation_bytes: float
    """For each of so many sessions that have ended."""
    cached_ceiling: float = 3
    ratio_ceiling: float = 1.3
    bytes_ceiling: float = 100

    @property
    def ratio(self) -> float:
        """The first check of a token over the bare signature."""
        return self.uncached / self.bare


class TopologyRow(msgspec.Struct, frozen=True):
    """A call on a topology. `ratio` is CPU over that on one server in the same round."""

    topology: str
    title: str
    cpu: float
    """Of the worker, µs a call."""
    ratio: float
    ceiling: float = 1.5


class Workers(msgspec.Struct, frozen=True):
    """Refreshes with one worker and with two. CPU in µs a refresh."""

    connections: int
    one_per_second: float
    two_per_second: float
    one_cpu: float
    two_cpu: float
    """Of both workers and their parent."""
    busiest_cpu: float
    """Of that of the two which has the most to do."""
    redis_main_thread: float
    goal: float = 1.7

    @property
    def gain(self) -> float:
        """How many times one worker's rate two gave here, where cores were shared."""
        return self.two_per_second / self.one_per_second

    @property
    def gain_on_free_cores(self) -> float:
        """How many times it would be if each process had a core of its own."""
        return self.one_cpu / max(self.busiest_cpu, self.redis_main_thread)


class Propagation(msgspec.Struct, frozen=True):
    """Milliseconds from the 204 of a logout until the last of some app pods has refused it."""

    pods: int
    logouts: int
    p50: float
    p99: float
    highest: float
    accepted_again: int
    """How often a pod accepted a token that it had refused before; must be 0."""
    ceiling: float = 50


def middle(samples: Sequence[Sample]) -> Sample:
    """The median of each figure; 0 for no samples."""

    def of(figure: Callable[[Sample], float]) -> float:
        return round(median([figure(sample) for sample in samples] or [0]), 3)

    return Sample(
        cpu=of(lambda s: s.cpu),
        per_second=of(lambda s: s.per_second),
        p50=of(lambda s: s.p50),
        p99=of(lambda s: s.p99),
        redis_cpu=of(lambda s: s.redis_cpu),
        redis_main_thread=of(lambda s: s.redis_main_thread),
        round_trips=of(lambda s: s.round_trips),
        commands=of(lambda s: s.commands),
    )
