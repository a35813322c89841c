"""Line charts as SVG, to stand in a page whose style names the colours."""

import math
from collections.abc import Iterator, Sequence
from html import escape

import msgspec

from tools.load.figures import Series

_WIDTH, _HEIGHT = 760, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 34, 34


class Axes(msgspec.Struct, frozen=True):
    """Time goes right, in seconds from 0; values go up from 0 to a round number."""

    seconds: float
    warm_up: float
    bucket: float
    highest: float

    def x(self, seconds: float) -> float:
        return _LEFT + seconds / self.seconds * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - value / self.highest * (_HEIGHT - _TOP - _BOTTOM)


def chart(
    title: str, unit: str, series: Sequence[Series], seconds: float, warm_up: float, bucket: float
) -> str:
    """The series over time. Each differs from the others by colour and by dashes."""
    values = [value for each in series for value in each.values if value is not None]
    axes = Axes(seconds, warm_up, bucket, _round_up(max(values, default=0.0)))
    parts = [
        f"<title>{escape(title)}, {escape(unit)}</title>",
        f"<desc>{escape(_description(series, unit))}</desc>",
        f'<text class="title" x="0" y="14">{escape(title)}'
        f'<tspan class="quiet" dx="6">{escape(unit)}</tspan></text>',
        *_frame(axes),
        *(part for number, each in enumerate(series) for part in _line(each, number, axes)),
    ]
    return (
        f'<figure><svg role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}"'
        f' height="{_HEIGHT}">{"".join(parts)}</svg><figcaption>{_legend(series)}</figcaption>'
        "</figure>"
    )


def _frame(axes: Axes) -> Iterator[str]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    if axes.warm_up:
        width = axes.x(axes.warm_up) - _LEFT
        yield (
            f'<rect class="warm" x="{_LEFT}" y="{_TOP}" width="{width:.1f}"'
            f' height="{bottom - _TOP}"/>'
        )
    for step in range(5):
        value = axes.highest * step / 4
        y = axes.y(value)
        yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>'
        yield (
            f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">'
            f"{value:,.4g}</text>"
        )
    every = _round_up(axes.seconds / 6)
    for number in range(int(axes.seconds / every) + 1):
        x = axes.x(number * every)
        anchor = "middle" if x < right - 20 else "end"
        yield (
            f'<text class="tick" x="{x:.1f}" y="{bottom + 18}" text-anchor="{anchor}">'
            f"{number * every:,.4g} s</text>"
        )


def _line(series: Series, number: int, axes: Axes) -> Iterator[str]:
    path, pen = [], "M"
    for place, value in enumerate(series.values):
        if value is None:
            pen = "M"
            continue
        middle = min(axes.seconds, (place + 0.5) * axes.bucket)
        # A value between two gaps is a line of no length, which its round ends make a dot.
        dot = "h0" if pen == "M" else ""
        path.append(f"{pen}{axes.x(middle):.1f} {axes.y(value):.1f}{dot}")
        pen = "L"
    yield f'<path class="line s{number % 6}" d="{"".join(path)}"/>'


def _legend(series: Sequence[Series]) -> str:
    return " ".join(
        '<span class="key"><svg viewBox="0 0 28 10" width="28" height="10" aria-hidden="true">'
        f'<path class="line s{number % 6}" d="M1 5H27"/></svg>{escape(each.name)}</span>'
        for number, each in enumerate(series)
    )


def _description(series: Sequence[Series], unit: str) -> str:
    parts = []
    for each in series:
        values = [value for value in each.values if value is not None]
        if values:
            parts.append(f"{each.name}: {min(values):,.4g} to {max(values):,.4g} {unit}")
    return "; ".join(parts) or "nothing"


def _round_up(value: float) -> float:
    """The next number of 1, 2, 4, 5 or 8 with noughts."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= value * 0.9999)
