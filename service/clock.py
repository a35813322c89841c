"""Time as an argument: whatever needs to know the time is given a `Clock`.

What Redis decides by time (expiry, grace, attempt windows) uses Redis' own `TIME` instead.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Answers the present moment, in UTC."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def system_clock() -> datetime:
    """Return the time by this machine's clock, in UTC."""
    return datetime.now(UTC)


def milliseconds(moment: datetime) -> int:
    """Return the whole milliseconds since 1970, exactly."""
    return (moment - _EPOCH) // _MILLISECOND


def moment(milliseconds_since_epoch: int) -> datetime:
    """Return the time so many milliseconds after 1970, in UTC: the inverse of `milliseconds`."""
    return _EPOCH + milliseconds_since_epoch * _MILLISECOND


def timestamp(moment: datetime) -> str:
    """Spell a moment in ISO 8601 as UTC, with milliseconds and `Z`."""
    return "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ" % (  # noqa: UP031  an f-string takes twice as long
        moment.year,
        moment.month,
        moment.day,
        moment.hour,
        moment.minute,
        moment.second,
        moment.microsecond // 1000,
    )
