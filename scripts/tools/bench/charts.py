"""All pictures of a report, by the files that they go into."""

from collections.abc import Callable, Iterator

from tools.bench.calls import BY_NAME
from tools.bench.results import Report, Row
from tools.report.bar_chart import Bar, BarChart
from tools.report.drawing import WIDTH, document
from tools.report.line_chart import HEIGHT, LineChart, Series


def _costs(report: Report) -> str | None:
    ratios = [row for row in report.of("calls") if row.metric == "× floor"]
    memory = [row for row in report.of("memory") if row.metric == "living session"]
    charts = [
        BarChart(
            "CPU of the service per request, in multiples of the floor",
            [_bar(row, "×", quiet=row.call not in BY_NAME or BY_NAME[row.call].on_floor)
             for row in ratios],
        ),
        BarChart(
            "Redis memory per live session, two sessions a user",
            [_bar(row, "bytes", name=row.by) for row in memory],
        ),
    ]  # fmt: skip
    parts = [
        f'<path class="limit" d="M{WIDTH - 112} 2v18"/>',
        f'<text class="quiet" x="{WIDTH - 102}" y="16">at most</text>',
    ]
    top = 10
    for chart in charts:
        if chart.bars:
            parts += chart.drawn(top)
            top += chart.height + 20
    return document("What calls cost", top, parts) if top > 10 else None


def _bar(row: Row, unit: str, *, name: str = "", quiet: bool = False) -> Bar:
    title = BY_NAME[row.call].title if row.call in BY_NAME else row.call
    return Bar(name or title, row.value, f"{row.value:.3g} {unit}", row.limit, quiet)


def _growth(report: Report) -> str | None:
    panels = [
        ("CPU of the worker, by living sessions", "CPU of the worker"),
        ("CPU of Redis, by living sessions", "Redis CPU"),
        ("p50, by living sessions", "p50"),
    ]
    return _lines("How cost grows with sessions", report.of("growth"), panels)


def _connections(report: Report) -> str | None:
    rows = [row for row in report.of("connections") if row.call in BY_NAME]
    panels = [
        ("CPU of the worker, by connections", "× floor"),
        ("p50, by connections", "p50"),
    ]
    return _lines("How cost changes with connections", rows, panels)


def _storm(report: Report) -> str | None:
    rows = [row for row in report.of("storm") if row.by == "logouts/s"]
    title = "p99 beside a storm of logouts, by logouts a second"
    return _lines(title, rows, [(title, "p99 × idle")])


def _lines(title: str, rows: list[Row], panels: list[tuple[str, str]]) -> str | None:
    charts = [
        LineChart(name, _unit(rows, metric), list(_series(rows, metric)), logarithmic=True)
        for name, metric in panels
    ]
    if not any(chart.series for chart in charts):
        return None
    top, parts = 0, list[str]()
    for chart in charts:
        parts += chart.drawn(top)
        top += HEIGHT + 20
    return document(title, top, parts)


def _unit(rows: list[Row], metric: str) -> str:
    return next((row.unit for row in rows if row.metric == metric), "")


def _series(rows: list[Row], metric: str) -> Iterator[Series]:
    for call in dict.fromkeys(row.call for row in rows):
        points = [(row.at, row.value) for row in rows if (row.call, row.metric) == (call, metric)]
        if found := sorted((at, value) for at, value in points if at is not None):
            yield Series(call, found)


CHARTS: dict[str, Callable[[Report], str | None]] = {
    "performance.svg": _costs,
    "performance-growth.svg": _growth,
    "performance-connections.svg": _connections,
    "performance-storm.svg": _storm,
}
"""`None` where the figures are missing."""
