"""Bars with their limits."""

from collections.abc import Iterator, Sequence
from html import escape

import msgspec

from tools.report.drawing import WIDTH

_LEFT, _RIGHT = 240, 150
_ROW, _BAR = 34, 18


class Bar(msgspec.Struct, frozen=True):
    """`value` to be drawn, `words` beside it, at most `limit`; `quiet`: one to compare with."""

    name: str
    value: float
    words: str
    limit: float | None = None
    quiet: bool = False


class BarChart(msgspec.Struct, frozen=True):
    """Bars of one unit."""

    title: str
    bars: Sequence[Bar]

    @property
    def height(self) -> int:
        """Of the chart, its title included."""
        return 40 + _ROW * len(self.bars)

    def drawn(self, top: float = 0) -> Iterator[str]:
        """Draw parts of an SVG, which `STYLE` colours."""
        longest = max(max(bar.value, bar.limit or 0) for bar in self.bars)
        scale = (WIDTH - _LEFT - _RIGHT) / longest
        yield f'<text class="title" x="16" y="{top + 14:g}">{escape(self.title)}</text>'
        for number, bar in enumerate(self.bars):
            y = top + 30 + number * _ROW
            width = bar.value * scale
            kind = "least" if bar.quiet else "bar"
            shape = f'x="{_LEFT}" y="{y:g}" width="{width:.1f}" height="{_BAR}" rx="3"'
            name = f'x="{_LEFT - 12}" y="{y + 14:g}" text-anchor="end"'
            yield f"<text {name}>{escape(bar.name)}</text>"
            yield f'<rect class="{kind}" {shape}/>'
            end = max(width, (bar.limit or 0) * scale)
            place = f'x="{_LEFT + end + 10:.1f}" y="{y + 14:g}"'
            yield f'<text class="quiet" {place}>{escape(bar.words)}</text>'
            if bar.limit:
                yield f'<path class="limit" d="M{_LEFT + bar.limit * scale:.1f} {y - 4:g}v26"/>'
