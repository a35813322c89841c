"""A report as tables: one for each part, one of all targets, and those of sizing.

Each has its place in a page of Markdown, which begins with `<!-- figures: NAME -->` and ends with
`<!-- end -->`. What stands in between is made by the program; all else is written by hand.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from tools.bench import sizing
from tools.bench.calls import BY_NAME
from tools.bench.parts import PARTS
from tools.bench.results import Report, Row
from tools.report.tables import Table, figure, in_markdown, in_terminal, judged

_PLACE = re.compile(r"(<!-- figures: (\S+) -->\n).*?(\n<!-- end -->)", re.DOTALL)

_TITLES = {"calls": "What calls cost", "fleet": "With more guards"} | {
    part.name: part.title for part in PARTS
}


def refreshed(page: str, report: Report) -> str:
    """Put all tables into the page. A place whose figures are missing stays as it is."""
    made = {table.name: "\n".join(in_markdown(table)) for table in tables(report)}

    def table(place: re.Match[str]) -> str:
        begin, name, end = place.groups()
        return begin + made[name] + end if name in made else place[0]

    return _PLACE.sub(table, page)


def shown(report: Report, old: Report | None) -> str:
    """Write all figures as text; with an `old` report also how they have changed since."""
    lines = [f"{report.machine}; {report.software}; {report.redis}"]
    for table in tables(report):
        lines += ["", *in_terminal(table)]
    if old is not None:
        before = {row.key: row for row in old.rows}
        lines += ["", f"Since {old.made_at}:"]
        lines += [_change(before[row.key], row) for row in report.rows if row.key in before]
    return "\n".join(lines)


def _change(then: Row, now: Row) -> str:
    per_cent = f" ({(now.value / then.value - 1) * 100:+.0f} %)" if then.value else ""
    change = f"{figure(then.value)} → {figure(now.value)} {now.unit}".rstrip()
    return f"  {_named(now)}: {now.metric}: {change}{per_cent}"


def tables(report: Report) -> Iterator[Table]:
    """Make all for which there are figures."""
    if promised := [row for row in report.rows if row.limit is not None]:
        yield _targets(promised)
    for part, title in _TITLES.items():
        if rows := report.of(part):
            yield _part(report, part, title, rows)
    yield from sizing.tables(report)


def _targets(promised: Sequence[Row]) -> Table:
    rows = [
        (
            f"{row.metric}: {_named(row)}",
            _TITLES.get(row.part, row.part),
            _limit(row),
            f"{figure(row.value)} {row.unit}".rstrip(),
            "met" if row.met else "**missed**",
        )
        for row in promised
    ]
    met = sum(row.met for row in promised)
    notes = (f"{met} of {len(promised)} targets are met.",)
    return Table("targets", "Targets", ("", "part", "target", "here", ""), rows, notes)


def _part(report: Report, part: str, title: str, rows: Sequence[Row]) -> Table:
    groups = [(name, list(group)) for name, group in groupby(rows, _named)]
    metrics = list(dict.fromkeys((row.metric, row.unit) for row in rows))
    lines: list[Sequence[str]]
    if len(groups) == 1:  # a column for each metric would be a very long line
        head: list[str] = [groups[0][0], "", "target"]
        lines = [
            (row.metric, f"{_value(row)} {row.unit}".rstrip(), _limit(row)) for row in groups[0][1]
        ]
    else:
        head = ["", *(f"{metric}, {unit}" if unit else metric for metric, unit in metrics)]
        lines = [(name, *_cells(group, metrics)) for name, group in groups]
    notes = [report.notes[part]] if part in report.notes else []
    if part == "calls":
        about = (report.machine, report.software, report.redis, report.made_at[:10])
        notes.append("; ".join(about) + ".")
    return Table(part, title, head, lines, notes)


def _cells(group: Sequence[Row], metrics: Sequence[tuple[str, str]]) -> Iterator[str]:
    found = {(row.metric, row.unit): row for row in group}
    for metric in metrics:
        row = found.get(metric)
        limit = f" ({_limit(row)})" if row and row.limit is not None else ""
        yield _value(row) + limit if row else ""


def _named(row: Row) -> str:
    """Name what a figure is of, for people."""
    call = BY_NAME[row.call].title if row.call in BY_NAME else row.call
    call = f"`{call}`" if call.startswith(("GET ", "POST ")) else call
    at = figure(row.at) if row.at is not None else ""
    varied = f"{at} {row.by}".strip()
    return f"{call}, {varied}" if varied else call


def _value(row: Row) -> str:
    return figure(row.value) if row.limit is None else judged(figure(row.value), row.met)


def _limit(row: Row) -> str:
    if row.limit is None:
        return ""
    return f"{'≥' if row.at_least else '≤'} {row.limit:g} {row.unit}".rstrip()
