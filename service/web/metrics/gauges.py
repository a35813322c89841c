"""Gauges and counters of what goes on beside requests: each process looks at its own now and then.

The parts count for themselves, in plain numbers, and know nothing of Prometheus. What they have
counted is brought over every few seconds, and before the process that is asked tells its metrics.
"""

import platform
from collections.abc import Callable, Mapping, Sequence

import msgspec
from litestar import Litestar
from prometheus_client import Counter, Gauge, Histogram

from service.readiness.status import Readiness
from service.repeating import repeat
from service.reply_times import BOUNDS, REPLY_TIMES, ReplyTimes
from service.web.metrics.requests import bring_over

_EVERY = 5.0
"""Seconds between two looks: what other workers tell is as old as that."""


def _gauge(name: str, text: str, labels: Sequence[str] = (), mode: str = "livemostrecent") -> Gauge:
    return Gauge(name, text, labels, multiprocess_mode=mode)  # type: ignore[arg-type]  # a Literal


EVENTS_DROPPED = Counter(
    "openshow_events_dropped", "Audit events dropped before their time, to make room."
)
_BUILD = _gauge("openshow_build_info", "Always 1.", ("version", "python"))
_WORKERS = _gauge("openshow_workers", "Worker processes that serve.", mode="livesum")
_WAITING = _gauge("openshow_hashes_waiting", "Password hashes that wait.", mode="livesum")
_RUNNING = _gauge("openshow_hashes_running", "Password hashes being computed.", mode="livesum")
_READY = _gauge("openshow_ready", "Whether a part can serve (1) or not (0).", ("part",), "livemin")
_SKEW = _gauge("openshow_clock_skew_seconds", "How far this clock is ahead of Redis'.")
_AGES = _gauge("openshow_key_age_seconds", "Age of the key of each kind in use.", ("key",))
MAILS = Counter(
    "openshow_mails",
    "Mails, by kind and what became of them: queued, sent, retried, failed, suppressed, full.",
    ("kind", "outcome"),
)
_MAILS_WAITING = _gauge("openshow_mails_waiting", "Mails that wait to be sent, over all pods.")
_MAIL_OLDEST = _gauge("openshow_mail_oldest_seconds", "How long the oldest of them waits.")
_FENCED = _gauge(
    "openshow_redis_fenced_buckets",
    "Buckets, of 64, that are not served as Redis has gone back in time.",
    mode="livemax",
)
_JOURNAL_LAG = _gauge(
    "openshow_journal_lag_seconds",
    "How far the journal of revocations is behind; 0 where another process writes it.",
    mode="livemax",
)
_WENT_BACK = Counter(
    "openshow_redis_went_back", "Buckets whose lost revocations this process has done again."
)
_REPLIES = Histogram(
    "openshow_redis_reply_seconds",
    "Time from asking Redis to its reply, that in the queue included.",
    buckets=BOUNDS,
)


class Sources(msgspec.Struct, frozen=True):
    """Where the figures of this process are."""

    version: str
    hashes: Callable[[], tuple[int, int]]
    """How many wait, and how many run."""
    key_ages: Callable[[], Mapping[str, float]]
    """In seconds, by the kind of key; empty while they are not open."""
    readiness: Callable[[], Readiness | None]
    """The last look."""
    mail: Callable[[], tuple[int, float]] | None = None
    """How many mails wait, and how long the oldest does, seconds; where mail is on."""
    rollback: Callable[[], tuple[int, float, int]] | None = None
    """How many buckets are fenced, how far the journal is behind, how many were replayed."""


def count_mail(kind: str, outcome: str) -> None:
    """Count what became of a mail. Kinds are ours."""
    MAILS.labels(kind, outcome).inc()


class Gauges:
    """Brings the figures of one process over."""

    def __init__(self, sources: Sources, replies: ReplyTimes = REPLY_TIMES) -> None:
        self._sources = sources
        self._replies = replies
        self._counts, self._seconds = [0] * len(replies.counts), 0.0  # brought over by now
        self._replayed = 0
        _BUILD.labels(sources.version, platform.python_version()).set(1)
        _WORKERS.set(1)

    async def run(self) -> None:
        """Look again and again, until it is cancelled."""
        try:
            await repeat("metrics", self._look, _EVERY)
        finally:
            bring_over()  # of requests, what is left

    async def _look(self) -> None:
        self.look()

    def look(self) -> None:
        """Bring everything up to date."""
        waiting, running = self._sources.hashes()
        _WAITING.set(waiting)
        _RUNNING.set(running)
        for kind, age in self._sources.key_ages().items():
            _AGES.labels(kind).set(age)
        if (readiness := self._sources.readiness()) is not None:
            for name, part in readiness.parts().items():
                if name != "process":
                    _READY.labels(name).set(part.ok)
            if skew := readiness.clock.facts.get("skewMs"):
                _SKEW.set(int(skew) / 1000)
        if self._sources.mail is not None:
            mails, oldest = self._sources.mail()
            _MAILS_WAITING.set(mails)
            _MAIL_OLDEST.set(oldest)
        if self._sources.rollback is not None:
            fenced, lag, replayed = self._sources.rollback()
            _FENCED.set(fenced)
            _JOURNAL_LAG.set(lag)
            _WENT_BACK.inc(replayed - self._replayed)
            self._replayed = replayed
        self._count_replies()

    def _count_replies(self) -> None:
        """Add what has come since the last look to the histogram, in one step a bucket."""
        counts, seconds = [*self._replies.counts], self._replies.seconds
        # Its `observe` takes one at a time, and 2 µs: more than all else that a reply costs here.
        buckets = _REPLIES._buckets
        for bucket, count, before in zip(buckets, counts, self._counts, strict=True):
            bucket.inc(count - before)
        _REPLIES._sum.inc(seconds - self._seconds)
        self._counts, self._seconds = counts, seconds


_GAUGES = "gauges"


def install_gauges(app: Litestar, gauges: Gauges) -> None:
    """Give `gauges` to the route of `app` that tells metrics."""
    app.state[_GAUGES] = gauges


def gauges_of(app: Litestar) -> Gauges:
    """Return the gauges that were installed."""
    gauges: Gauges = app.state[_GAUGES]
    return gauges
