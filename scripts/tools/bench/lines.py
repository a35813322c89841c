"""Lines of SVG: how figures change with something that grows tenfold or twofold."""

import math
from collections.abc import Iterator, Sequence
from html import escape

import msgspec

from tools.bench.drawing import WIDTH, drawing
from tools.bench.report import Report

_LEFT, _RIGHT, _HEIGHT = 70, 170, 170
_STEPS = 4  # of the scale


class Line(msgspec.Struct, frozen=True):
    """A name, and points with x and y above 0."""

    name: str
    points: Sequence[tuple[float, float]]


class Panel(msgspec.Struct, frozen=True):
    """Lines over one logarithmic axis, from 0 upwards."""

    title: str
    unit: str
    lines: Sequence[Line]


def growth(report: Report) -> str | None:
    """CPU of worker and Redis, and p50, by the number of sessions."""
    if report.growth is None:
        return None
    points = report.growth.points
    names = list(dict.fromkeys(point.name for point in points))

    def lines(figure: str) -> list[Line]:
        return [
            Line(name, [(p.sessions, getattr(p, figure)) for p in points if p.name == name])
            for name in names
        ]

    panels = [
        Panel("CPU of the worker, by living sessions", "µs", lines("cpu")),
        Panel("CPU of Redis, by living sessions", "µs", lines("redis_cpu")),
        Panel("p50, by living sessions", "ms", lines("p50")),
    ]
    return _picture("How cost grows with sessions", panels)


def connections(report: Report) -> str | None:
    """CPU in multiples of the floor, and p50, by the number of connections."""
    if not report.crowds:
        return None
    names = [row.name for row in report.crowds[0].rows]
    rows = [(crowd.connections, row) for crowd in report.crowds for row in crowd.rows]

    ratios = [Line(name, [(x, row.ratio) for x, row in rows if row.name == name]) for name in names]
    p50 = [Line(name, [(x, r.sample.p50) for x, r in rows if r.name == name]) for name in names]
    panels = [
        Panel("CPU of the worker, by connections", "× floor", ratios),
        Panel("p50, by connections", "ms", p50),
    ]
    return _picture("How cost changes with connections", panels)


def storm(report: Report) -> str | None:
    """p99 of the calls beside a storm of logouts, over the idle one, by the storm's rate."""
    if report.storm is None:
        return None
    rows = [row for row in report.storm.rows if row.at_once == 1]
    lines = [
        Line(call.name, [(row.per_second, row.calls[number].ratio) for row in rows])
        for number, call in enumerate(rows[0].calls)
    ]
    title = "p99 beside a storm of logouts, by logouts a second"
    return _picture(title, [Panel(title, "× idle", lines)])


def _picture(title: str, panels: Sequence[Panel]) -> str:
    parts: list[str] = []
    for number, panel in enumerate(panels):
        parts += _panel(panel, 20 + number * (_HEIGHT + 80))
    return drawing(title, len(panels) * (_HEIGHT + 80) + 10, parts)


def _panel(panel: Panel, top: float) -> Iterator[str]:
    points = [point for line in panel.lines for point in line.points]
    scale = _Scale([x for x, _ in points], max(y for _, y in points), top + 24)
    yield f'<text class="title" x="16" y="{top + 6:g}">{escape(panel.title)}</text>'
    for step in range(_STEPS + 1):
        value = scale.highest * step / _STEPS
        y = scale.y(value)
        yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>'
        words = f"{value:g} {panel.unit if step == _STEPS else ''}".strip()
        at = f'x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end"'
        yield f'<text class="quiet" {at}>{words}</text>'
    for x in dict.fromkeys(x for x, _ in points):
        at = f'x="{scale.x(x):.1f}" y="{scale.bottom + 20:g}" text-anchor="middle"'
        yield f'<text class="quiet" {at}>{x:,.0f}</text>'
    for number, line in enumerate(panel.lines):
        yield from _line(line, number, scale, top)


def _line(line: Line, number: int, scale: "_Scale", top: float) -> Iterator[str]:
    spots = [(scale.x(x), scale.y(y)) for x, y in line.points]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
    yield f'<path class="line c{number}" d="M{path}"/>'
    for x, y in spots:
        yield f'<circle class="d{number}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'
    y = top + 40 + number * 22
    yield f'<circle class="d{number}" cx="{WIDTH - _RIGHT + 24}" cy="{y - 4:g}" r="5"/>'
    yield f'<text x="{WIDTH - _RIGHT + 38}" y="{y:g}">{escape(line.name)}</text>'


class _Scale:
    """Where values lie: x by its logarithm, y from 0 to a round figure above the highest."""

    def __init__(self, xs: Sequence[float], highest: float, top: float) -> None:
        self.bottom = top + _HEIGHT
        self.highest = _rounded_up(highest)
        self._least, self._most = math.log(min(xs)), math.log(max(xs))

    def x(self, value: float) -> float:
        width, span = WIDTH - _LEFT - _RIGHT - 40, self._most - self._least
        return _LEFT + 20 + width * ((math.log(value) - self._least) / span if span else 0.5)

    def y(self, value: float) -> float:
        return self.bottom - _HEIGHT * value / self.highest


def _rounded_up(value: float) -> float:
    """The next of 1, 2, 4, 6, 8 times a power of ten."""
    power: float = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value)
