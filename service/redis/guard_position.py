"""The report by which a guard says how far it has read: the value of `guard:{00}:<guard id>`.

A byte for the layout; for each bucket six bytes of number and six of time (ms) of the last entry
that was read, zeros where the guard does not know the whole feed; then who says so, as JSON.

A number alone would not do: after a failover that has lost the feed's end, numbers come again. The
time of the entry tells them apart.
"""

from collections.abc import Sequence

import msgspec

from .keys import BUCKETS

LAYOUT = b"\1"
WIDTH = 12
"""Bytes for each bucket."""

FeedPosition = tuple[int, int]
"""Number and time of an entry of the feed; zeros: nothing is known."""

NOTHING: FeedPosition = (0, 0)

_HALF = WIDTH // 2
_SHIFT = 8 * _HALF
_HEAD = len(LAYOUT) + BUCKETS * WIDTH
_MOST = (1 << _SHIFT) - 1
LONGEST = 64
"""Characters of a text that a guard says of itself."""
MOST_BYTES = 4096
"""Of a report. What is longer is none."""


class About(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What a guard says of itself. Times in ms."""

    pod: str = ""
    version: str = ""
    mode: str = ""
    when_lost: str = ""
    known_ms: int = -1
    """How long ago all that had ended was known; -1: it never was."""
    lost_ms: int = -1
    """For how long the feed has been lost, in one bucket at least; -1: it is not."""


def packed_position(position: FeedPosition) -> bytes:
    """Spell the position in one bucket."""
    number, time = position
    packed: int = min(number, _MOST) << _SHIFT | min(time, _MOST)
    return packed.to_bytes(WIDTH, "big")


def unpack(report: bytes) -> tuple[list[FeedPosition], About] | None:
    """Read a report; None: of another layout. What is said may be a lie, but it is short."""
    if not report.startswith(LAYOUT) or len(report) < _HEAD:
        return None
    try:
        about = msgspec.json.decode(report[_HEAD:], type=About)
    except (ValueError, RecursionError):  # what is malformed, no UTF-8, or nested without end
        return None
    shown = About(
        _printable(about.pod),
        _printable(about.version),
        _printable(about.mode),
        _printable(about.when_lost),
        _milliseconds(about.known_ms),
        _milliseconds(about.lost_ms),
    )
    return positions(report[len(LAYOUT) : _HEAD]), shown


def positions(packed: bytes) -> list[FeedPosition]:
    """Read the positions of some buckets, as they stand in a report, one after the other."""
    halves = [
        int.from_bytes(packed[start : start + _HALF], "big")
        for start in range(0, len(packed), _HALF)
    ]
    return list(zip(halves[::2], halves[1::2], strict=True))


def count_that_have_read(guards: Sequence[bytes], place: int, entry: FeedPosition) -> int:
    """Count the guards that have read an entry, by the positions of each, one after the other.

    Numbers come again after a failover that has lost some; then the time of the entry is later.
    """
    packed, start = packed_position(entry), place * WIDTH
    number, time, half, end = packed[:_HALF], packed[_HALF:], start + _HALF, start + WIDTH
    return sum(each[start:half] >= number and each[half:end] >= time for each in guards)


def _printable(text: str) -> str:
    """Make a text from anywhere fit for logs, terminals and labels."""
    return "".join(each if each.isprintable() else "?" for each in text[:LONGEST])


def _milliseconds(given: int) -> int:
    """Make a number from anywhere fit for JSON and metrics: -1, or a time."""
    return min(max(given, -1), _MOST)
