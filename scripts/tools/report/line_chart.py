"""Lines over an axis that grows evenly or by powers, from 0 upwards."""

import math
from collections.abc import Iterator, Sequence
from html import escape

import msgspec

from tools.report.drawing import WIDTH, rounded_up

HEIGHT = 250
"""Of a chart, its title and its legend, which stands above the lines, included."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 16, 52, 34


class Series(msgspec.Struct, frozen=True):
    """A name, and points in order; a y of None is a gap."""

    name: str
    points: Sequence[tuple[float, float | None]]


class LineChart(msgspec.Struct, frozen=True):
    """Series of one unit. `logarithmic`: x grows by powers. `shaded`: from 0 to there."""

    title: str
    unit: str
    series: Sequence[Series]
    x_unit: str = ""
    logarithmic: bool = False
    shaded: float = 0

    def drawn(self, top: float = 0) -> Iterator[str]:
        """Draw parts of an SVG, `HEIGHT` high, which `STYLE` colours."""
        scale = _Scale(self, top)
        yield f"<title>{escape(self.title)}, {escape(self.unit)}</title>"
        yield f"<desc>{escape(self._description())}</desc>"
        yield (
            f'<text class="title" x="0" y="{top + 14:g}">{escape(self.title)}'
            f'<tspan class="quiet" dx="6">{escape(self.unit)}</tspan></text>'
        )
        yield from scale.frame()
        x = float(_LEFT)
        for number, each in enumerate(self.series):
            yield f'<path class="key s{number % 6}" d="M{x:g} {top + 34:g}h24"/>'
            yield f'<text x="{x + 30:g}" y="{top + 38:g}">{escape(each.name)}</text>'
            x += 54 + 7 * len(each.name)
            yield f'<path class="line s{number % 6}" d="{scale.path(each)}"/>'

    def _description(self) -> str:
        parts = []
        for each in self.series:
            if values := [y for _, y in each.points if y is not None]:
                parts.append(f"{each.name}: {min(values):,.4g} to {max(values):,.4g} {self.unit}")
        return "; ".join(parts) or "nothing"


class _Scale:
    def __init__(self, chart: LineChart, top: float) -> None:
        points = [point for series in chart.series for point in series.points]
        xs = sorted({x for x, _ in points}) or [0.0, 1.0]
        self._chart = chart
        self._xs = xs
        self._first = xs[0] if chart.logarithmic else 0.0
        self._last = xs[-1] if xs[-1] > self._first else self._first + 1
        self._highest = rounded_up(max((y for _, y in points if y is not None), default=0.0))
        self._top, self._bottom = top + _TOP, top + HEIGHT - _BOTTOM

    def x(self, value: float) -> float:
        if self._chart.logarithmic:
            share = math.log(value / self._first) / math.log(self._last / self._first)
        else:
            share = value / self._last
        return _LEFT + share * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return self._bottom - value / self._highest * (self._bottom - self._top)

    def frame(self) -> Iterator[str]:
        if self._chart.shaded:
            width = self.x(self._chart.shaded) - _LEFT
            yield (
                f'<rect class="warm" x="{_LEFT}" y="{self._top:g}" width="{width:.1f}"'
                f' height="{self._bottom - self._top:g}"/>'
            )
        for step in range(5):
            value = self._highest * step / 4
            y = self.y(value)
            yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>'
            place = f'x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end"'
            yield f'<text class="quiet" {place}>{value:,.4g}</text>'
        for x in self._ticks():
            along = self.x(x)
            anchor = "middle" if along < WIDTH - _RIGHT - 24 else "end"
            at = f'x="{along:.1f}" y="{self._bottom + 18:g}" text-anchor="{anchor}"'
            label = f"{x:,.7g} {self._chart.x_unit}".rstrip()
            yield f'<text class="quiet" {at}>{label}</text>'

    def _ticks(self) -> list[float]:
        if self._chart.logarithmic:
            return self._xs
        every = rounded_up(self._last / 6)
        return [number * every for number in range(int(self._last / every) + 1)]

    def path(self, series: Series) -> str:
        parts, pen = [], "M"
        for x, y in series.points:
            if y is None:
                pen = "M"
                continue
            # A value between two gaps is a line of no length, which its round ends make a dot.
            dot = "h0" if pen == "M" else ""
            parts.append(f"{pen}{self.x(x):.1f} {self.y(y):.1f}{dot}")
            pen = "L"
        return "".join(parts)
