"""A table of figures with what is to be said of it, for terminal and page alike."""

from collections.abc import Iterator, Sequence
from html import escape
from textwrap import wrap

import msgspec

_WIDTH = 140  # of a page's lines


class Table(msgspec.Struct, frozen=True):
    """Cells as they stand in Markdown. `name` is that of its place in the page."""

    name: str
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def in_markdown(table: Table) -> Iterator[str]:
    """Write lines: the first column to the left, figures to the right, then the notes."""
    yield _line(table.head)
    yield _line(("---", *("--:" for _ in table.head[1:])))
    yield from map(_line, table.rows)
    if table.notes:
        yield ""
        yield from wrap(" ".join(table.notes), _WIDTH, break_on_hyphens=False)


def in_terminal(table: Table) -> Iterator[str]:
    """Write lines in columns, without marks."""
    if table.title:
        yield table.title
    heads = (table.head,) if any(table.head) else ()
    rows = [[_plain(cell) for cell in row] for row in (*heads, *table.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        first, *rest = (
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  " + "  ".join((first, *rest)).rstrip()
    yield from (f"  {_plain(note)}" for note in table.notes)


def in_html(table: Table, *, total: bool = False) -> str:
    """Write an element that scrolls by itself; `total`: the last row sums up the others."""
    body = ""
    for number, (first, *rest) in enumerate(table.rows):
        kind = ' class="total"' if total and number == len(table.rows) - 1 else ""
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        body += f'<tr{kind}><th scope="row">{escape(first)}</th>{cells}</tr>'
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.head)
    header = f"<thead><tr>{names}</tr></thead>" if any(table.head) else ""
    return (
        f'<div class="scroll"><table><caption><h2>{escape(table.title)}</h2></caption>{header}'
        f"<tbody>{body}</tbody></table></div>"
    )


def figure(value: float) -> str:
    """Write a number with three digits that count, or all of them before the point."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def judged(found: str, met: bool) -> str:
    """Mark a figure that has a target: bold, and said where it is missed."""
    return f"**{found}**" if met else f"**{found}** missed"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _plain(text: str) -> str:
    return text.replace("**", "").replace("`", "")
