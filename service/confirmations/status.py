"""Tells how every guard is that says so: how far behind, and whether its feed is lost."""

from datetime import datetime, timedelta

import msgspec

from service.clock import Clock, timestamp
from service.confirmations.guard_positions import GuardPositions, GuardReport
from service.errors import StoreUnavailable
from service.repeating import repeat

_EVERY = 5.0
_SHOWN = 4
"""Bytes of a guard's id that tell guards of one pod apart. Who knows the whole id could write its
report."""


class GuardStatus(msgspec.Struct, frozen=True, rename="camel"):
    """How a guard is. Nobody has confirmed what it says of itself."""

    pod: str
    id: str
    """The beginning of it: guards of one pod are told apart by it."""
    version: str
    mode: str
    when_lost: str
    lag_ms: int
    """For how long there may have been an end that it does not know; 0 where it knows all."""
    behind: int
    """Entries of the feed that it has not read, as far as is known."""
    last_seen: datetime
    feed_lost: bool
    lost_since: datetime | None

    def document(self) -> dict[str, object]:
        """Make the object that command line and HTTP show."""
        since = self.lost_since and timestamp(self.lost_since)
        times = {"lastSeen": timestamp(self.last_seen), "lostSince": since}
        return {**msgspec.to_builtins(self), **times}


class GuardStatuses:
    """Looks at all guards. May raise `StoreUnavailable`."""

    def __init__(self, positions: GuardPositions, clock: Clock) -> None:
        self._positions = positions
        self._clock = clock
        self.last: list[GuardStatus] = []
        """What the last look of `run` has found."""

    async def all(self) -> list[GuardStatus]:
        """Tell how each guard is that has said something in the last 15 s, by pod."""
        newest = await self._positions.numbers()  # before: nobody is behind what came since
        reports = await self._positions.all()
        found = [self._status(report, newest) for report in reports]
        return sorted(found, key=lambda each: (each.pod, each.id))

    async def run(self) -> None:
        """Look again and again, until it is cancelled."""
        await repeat("guards", self._look, _EVERY)

    async def _look(self) -> None:
        try:
            self.last = await self.all()
        except StoreUnavailable:
            self.last = []  # nothing is known; the part `redis` of readiness tells

    def _status(self, report: GuardReport, newest: list[int]) -> GuardStatus:
        about, now = report.about, self._clock()
        read = [number for number, _ in report.positions]
        behind = sum(max(there - here, 0) for there, here in zip(newest, read, strict=True))
        lost = about.lost_ms >= 0
        since_known = max(about.lost_ms if lost else about.known_ms, 0)
        return GuardStatus(
            pod=about.pod,
            id=report.id[:_SHOWN].hex(),
            version=about.version,
            mode=about.mode,
            when_lost=about.when_lost,
            lag_ms=since_known + report.age_ms if lost or behind else 0,
            behind=behind,
            last_seen=_before(now, report.age_ms),
            feed_lost=lost,
            lost_since=_before(now, about.lost_ms + report.age_ms) if lost else None,
        )


def _before(now: datetime, milliseconds: int) -> datetime:
    """Go back in time; what a guard says that cannot be is the beginning of time."""
    try:
        return now - timedelta(milliseconds=milliseconds)
    except OverflowError:
        return datetime.min.replace(tzinfo=now.tzinfo)
