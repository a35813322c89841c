"""A rate as settings spell it: `10/15m`, so many in so long."""

import re
from datetime import timedelta

import msgspec

_SPELT = re.compile(r"([1-9][0-9]{0,4})/([1-9][0-9]{0,6})([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LONGEST = timedelta(days=30)
_MOST = 10_000  # each is a time in a list in Redis


class Rate(msgspec.Struct, frozen=True):
    """At most `most` in any `window`."""

    most: int
    window: timedelta

    def __str__(self) -> str:
        seconds = int(self.window.total_seconds())
        size, unit = next(
            (size, unit)
            for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))
            if seconds % size == 0
        )
        return f"{self.most}/{seconds // size}{unit}"


def parse(text: str) -> Rate:
    """Read the rate that `text` spells: 1 to 10,000 in a second to thirty days.

    Raises:
        ValueError: it spells none; says what it must look like.
    """
    found = _SPELT.fullmatch(text)
    if found:
        rate = Rate(int(found[1]), timedelta(**{_UNITS[found[3]]: int(found[2])}))
        if rate.most <= _MOST and rate.window <= _LONGEST:
            return rate
    raise ValueError(
        "must be a number from 1 to 10000 and a time of 30 days at most, such as 10/15m"
    )
