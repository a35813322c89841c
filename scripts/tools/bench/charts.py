"""All pictures of a report, by the files that they go into."""

from collections.abc import Callable

from tools.bench.bars import bars
from tools.bench.lines import connections, growth, storm
from tools.bench.report import Report

CHARTS: dict[str, Callable[[Report], str | None]] = {
    "performance.svg": bars,
    "performance-growth.svg": growth,
    "performance-connections.svg": connections,
    "performance-storm.svg": storm,
}
"""`None` where the figures are missing."""
