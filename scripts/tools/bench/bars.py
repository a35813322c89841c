"""A report as bars of SVG, which follow the reader's light or dark colours."""

from collections.abc import Iterator
from html import escape

from tools.bench.drawing import WIDTH, drawing
from tools.bench.report import Report

_LEFT, _RIGHT = 240, 150
_ROW, _BAR = 34, 18


class _Bar:
    """A line of a panel: `value` to be drawn, at most `limit`."""

    def __init__(
        self, name: str, value: float, words: str, limit: float | None, kind: str = "bar"
    ) -> None:
        self.name, self.value, self.words, self.limit, self.kind = name, value, words, limit, kind


def bars(report: Report) -> str | None:
    """What calls cost, and what sessions take, as an SVG document; `None` without figures."""
    panels = [
        ("CPU of the service per request, in multiples of the floor", _speed(report)),
        ("Redis memory per live session, two sessions a user", _memory(report)),
    ]
    parts = [
        f'<path class="limit" d="M{WIDTH - 112} 12v18"/>',
        f'<text class="quiet" x="{WIDTH - 102}" y="26">at most</text>',
    ]
    height = 20
    for title, lines in panels:
        if lines:
            parts += _panel(title, lines, height)
            height += 40 + _ROW * len(lines)
    return drawing("What calls cost", height, parts) if height > 20 else None


def _speed(report: Report) -> list[_Bar]:
    floor, bare = report.floor, report.bare
    if floor is None or not report.rows:
        return []
    lines = [_Bar("empty POST (the floor)", 1, f"{floor.cpu:.0f} µs", None, "least")]
    if bare is not None:
        share = bare.jwt / floor.cpu
        words = f"{share:.1f} × · {bare.jwt:.0f} µs"
        lines.append(_Bar("PyJWT alone, no HTTP", share, words, None, "least"))
    return lines + [
        _Bar(
            "empty POST with EVALSHA" if row.name == "evalsha" else row.title,
            row.ratio,
            f"{row.ratio:.1f} × · {row.sample.cpu:.0f} µs",
            row.ceiling,
            "least" if row.name == "evalsha" else "bar",
        )
        for row in report.rows
    ]


def _memory(report: Report) -> list[_Bar]:
    return [
        _Bar(m.server, m.session_bytes, f"{m.session_bytes:.0f} bytes", m.ceiling)
        for m in report.memory
    ]


def _panel(title: str, bars: list[_Bar], top: int) -> Iterator[str]:
    longest = max(max(bar.value, bar.limit or 0) for bar in bars)
    scale = (WIDTH - _LEFT - _RIGHT) / longest
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
