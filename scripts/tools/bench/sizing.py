"""What a deployment needs, worked out from the figures of a report. Nothing here is measured.

A model of use that is easy to scale: each session is refreshed and looked at some times a day, and
replaced, by a login and a logout, once in its longest life.
"""

import math
from collections.abc import Callable, Iterator

import msgspec
from redis.crc import key_slot

from service.redis.keys import BUCKETS, EVENTS_KEPT, TAGS
from tools.bench.results import Report
from tools.report.tables import Table

_DAY = 86_400
_USES = 4  # refreshes a day of each session, and as many looks at /auth/me
_LIFE_DAYS = 30
_PEAK = 3  # times the mean of the day
_NODE = 25e9  # bytes of data on one Redis node
_NODE_SHARE = 0.6  # of the node's memory, as in redis.conf: rewriting needs the rest
_REDIS_BUSY, _WORKER_BUSY = 0.6, 0.7  # of a core, at the peak
_FEED_SECONDS = 900 + 2 * 60  # an access token's life, and clocks that differ
_SLOTS = 16_384

_CALLS = ("logout", "me", "refresh")
_SCALES = (100_000, 1_000_000, 2_000_000, 10_000_000, 100_000_000, 1_000_000_000)


class Costs(msgspec.Struct, frozen=True):
    """Measured: bytes, and seconds of CPU. Of the server that comes first in the report."""

    session: float
    event: float
    worker: dict[str, float]
    redis: dict[str, float]
    login: float


class Need(msgspec.Struct, frozen=True):
    """What so many sessions need at the peak."""

    sessions: int
    memory: float
    refreshes: float
    logins: float
    redis_cores: float
    worker_cores: float
    hashing_cores: float
    feed: float
    for_memory: int
    for_load: int
    """Primaries; 0 where even 64 do not suffice."""

    @property
    def shards(self) -> int:
        """Primaries for both; 0 where there cannot be so many."""
        return max(self.for_memory, self.for_load) if self.for_memory and self.for_load else 0


def tables(report: Report) -> Iterator[Table]:
    """Make rules of thumb, and needs by number of sessions; none without figures for them."""
    costs = _costs(report)
    if costs is not None:
        yield _rules(costs)
        yield _cluster(costs)


def _costs(report: Report) -> Costs | None:
    cpu = {
        metric: {call: report.value("calls", call, metric) for call in _CALLS}
        for metric in ("CPU of the worker", "Redis CPU")
    }
    session = report.value("memory", "memory", "living session")
    event = report.value("memory", "memory", "audit event")
    login = report.value("flood", "login", "core time of a hash")
    worker, redis = (
        {call: value / 1e6 for call, value in several.items() if value is not None}
        for several in cpu.values()
    )
    if session is None or event is None or login is None or {len(worker), len(redis)} != {3}:
        return None
    return Costs(session, event, worker, redis, login / 1e3)


def need(sessions: int, costs: Costs) -> Need:
    """Work it out by the model at the head of this module."""
    uses = sessions * _USES / _DAY * _PEAK
    ends = sessions / _LIFE_DAYS / _DAY * _PEAK
    rates = {"refresh": uses, "me": uses, "logout": ends}
    redis = sum(rate * costs.redis[name] for name, rate in rates.items())
    # A login writes about what a refresh does.
    redis += ends * costs.redis["refresh"]
    memory = sessions * costs.session
    return Need(
        sessions=sessions,
        memory=memory,
        refreshes=uses,
        logins=ends,
        redis_cores=redis,
        worker_cores=sum(rate * costs.worker[name] for name, rate in rates.items()),
        hashing_cores=ends * costs.login,
        feed=ends * _FEED_SECONDS * costs.event,
        for_memory=_shards(memory, _NODE),
        for_load=_shards(redis, _REDIS_BUSY),
    )


def _shards(whole: float, most: float) -> int:
    """Count the parts of at most `most` it goes into, each of whole hash tags; 0: not even 64."""
    tags = min(int(most / (whole / BUCKETS)), BUCKETS)
    return math.ceil(BUCKETS / tags) if tags else 0


def fullest(shards: int) -> int:
    """Count the hash tags on the fullest of so many shards that have equal ranges of slots."""
    counts = [0] * shards
    for tag in TAGS:
        counts[key_slot(tag) * shards // _SLOTS] += 1
    return max(counts)


_COLUMNS: tuple[tuple[str, Callable[[Need], str]], ...] = (
    ("sessions", lambda need: f"{need.sessions:,}"),
    ("memory", lambda need: _size(need.memory)),
    ("refreshes/s", lambda need: f"{need.refreshes:,.0f}"),
    ("logins/s", lambda need: f"{need.logins:,.{'2g' if need.logins < 10 else '0f'}}"),
    ("Redis cores", lambda need: f"{need.redis_cores:.2f}"),
    ("worker cores", lambda need: f"{need.worker_cores:.2f}"),
    ("hashing cores",
     lambda need: f"{need.hashing_cores:{'.2f' if need.hashing_cores < 10 else ',.0f'}}"),
    ("feed, at most", lambda need: _size(need.feed)),
    ("primaries", lambda need: str(need.shards or "more than there can be")),
)  # fmt: skip
"""Of the table of needs."""


def _size(count: float) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def _rules(costs: Costs) -> Table:
    rows = [
        (
            f"`{name}`",
            f"{_WORKER_BUSY / costs.worker[name]:,.0f}",
            f"{_REDIS_BUSY / costs.redis[name]:,.0f}",
            f"{costs.worker[name] / costs.redis[name]:.1f}",
        )
        for name in _CALLS
    ]
    head = (
        "",
        f"a second and worker, {_WORKER_BUSY:.0%} busy",
        f"a second and Redis core, {_REDIS_BUSY:.0%} busy",
        "workers that fill a Redis core",
    )
    notes = (
        f"**{2**30 / costs.session / 1e6:.1f} million sessions per GiB.** A login takes "
        f"{costs.login * 1000:.0f} ms of a core for bcrypt, "
        f"{costs.login / costs.worker['refresh']:,.0f} times what a refresh takes.",
    )
    return Table("sizing", "Rules of thumb (calculated)", head, rows, notes)


def _cluster(costs: Costs) -> Table:
    needs = [need(sessions, costs) for sessions in _SCALES]
    most = int(BUCKETS * _NODE / costs.session)
    last = needs[-1]
    shards = max(1, last.shards)
    notes = (
        f"At the peak, {_PEAK} times the mean of a day on which each session is refreshed, and "
        f"asked about, {_USES} times; it is replaced once in {_LIFE_DAYS} days, by a login and a "
        "logout. "
        f"Primaries hold {_NODE / 1e9:.0f} GB of data, {_NODE_SHARE:.0%} of their memory "
        f"({_NODE / _NODE_SHARE / 1e9:.0f} GB), and are {_REDIS_BUSY:.0%} busy at most.",
        f"The audit events take {BUCKETS * EVENTS_KEPT * costs.event / 1e6:.0f} MB in all, however "
        "many sessions there are.",
        f"**All keys share {BUCKETS} hash tags, so {BUCKETS} primaries are the most that can have "
        f"any work**: {most / 1e9:.1f} billion sessions by memory.",
        f"{last.sessions:,} sessions need {last.for_memory} primaries for their memory and "
        f"{last.for_load} for what is done with them.",
        f"Deal out the tags, not the slots: of {shards} primaries with equal ranges of slots the "
        f"fullest has {fullest(shards)} of the {BUCKETS} tags, where "
        f"{math.ceil(BUCKETS / shards)} would do.",
    )
    rows = [[shown(each) for _, shown in _COLUMNS] for each in needs]
    head = [name for name, _ in _COLUMNS]
    return Table("cluster", "Up to a billion sessions (calculated)", head, rows, notes)
