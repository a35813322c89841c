"""A report as a picture: bars of SVG, which follow the reader's light or dark colours."""

from collections.abc import Iterator
from html import escape

from benchmark.figures import Report

_WIDTH, _LEFT, _RIGHT = 760, 220, 150
_ROW, _BAR = 34, 18

_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 15px }
.quiet { fill: #57606a }
.bar { fill: #4c78c8 }
.least { fill: #a8b3bf }
.limit { stroke: #c4432b; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .quiet { fill: #9198a1 } .bar { fill: #6f9be8 } .least { fill: #59636e }
  .limit { stroke: #ff7b6b }
}
"""


class _Bar:
    """A line of a panel: `value` to be drawn, at most `limit`."""

    def __init__(
        self, name: str, value: float, words: str, limit: float | None, kind: str = "bar"
    ) -> None:
        self.name, self.value, self.words, self.limit, self.kind = name, value, words, limit, kind


def chart(report: Report) -> str:
    """The picture as an SVG document."""
    speed = [_Bar("empty POST (the floor)", 1, f"{report.floor.cpu:.0f} µs", None, "least")]
    speed += [
        _Bar(row.title, row.ratio, f"{row.ratio:.1f} × · {row.sample.cpu:.0f} µs", row.ceiling)
        for row in report.rows
    ]
    memory = [
        _Bar(m.server, m.session_bytes, f"{m.session_bytes:.0f} bytes", m.ceiling)
        for m in report.memory
    ]
    parts = [
        f'<path class="limit" d="M{_WIDTH - 112} 12v18"/>',
        f'<text class="quiet" x="{_WIDTH - 102}" y="26">at most</text>',
    ]
    height = 20
    for title, bars in (
        (
            "CPU of the service per request, in multiples of the floor",
            speed if report.rows else [],
        ),
        ("Redis memory per live session, two sessions a user", memory),
    ):
        if bars:
            parts += _panel(title, bars, height)
            height += 40 + _ROW * len(bars)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" role="img" aria-label="What calls cost">\n'
        f"<style>{_STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _panel(title: str, bars: list[_Bar], top: int) -> Iterator[str]:
    longest = max(max(bar.value, bar.limit or 0) for bar in bars)
    scale = (_WIDTH - _LEFT - _RIGHT) / longest
    yield f'<text class="title" x="16" y="{top + 6}">{escape(title)}</text>'
    for number, bar in enumerate(bars):
        y = top + 24 + number * _ROW
        width = bar.value * scale
        shape = f'x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="3"'
        yield f'<text x="{_LEFT - 12}" y="{y + 14}" text-anchor="end">{escape(bar.name)}</text>'
        yield f'<rect class="{bar.kind}" {shape}/>'
        end = max(width, (bar.limit or 0) * scale)
        words = f'x="{_LEFT + end + 10:.1f}" y="{y + 14}"'
        yield f'<text class="quiet" {words}>{escape(bar.words)}</text>'
        if bar.limit:
            x = _LEFT + bar.limit * scale
            yield f'<path class="limit" d="M{x:.1f} {y - 4}v{_BAR + 8}"/>'
