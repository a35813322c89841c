"""All pictures of a report, by the files that they go into."""

from collections.abc import Callable

from benchmark.bars import bars
from benchmark.lines import connections, growth, storm
from benchmark.report import Report

CHARTS: dict[str, Callable[[Report], str | None]] = {
    "performance.svg": bars,
    "performance-growth.svg": growth,
    "performance-connections.svg": connections,
    "performance-storm.svg": storm,
}
"""`None` where the figures are missing."""
