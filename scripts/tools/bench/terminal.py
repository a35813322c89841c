"""A report to read in a terminal."""

from collections.abc import Iterator

from tools.bench.results import Report, Row
from tools.bench.tables import named, tables
from tools.report.tables import figure, in_terminal


def shown(report: Report, old: Report | None) -> str:
    """All figures; with an `old` report also how they have changed since."""
    return "\n".join(_lines(report, old))


def _lines(report: Report, old: Report | None) -> Iterator[str]:
    yield f"{report.machine}; {report.software}; {report.redis}"
    for table in tables(report):
        yield ""
        yield from in_terminal(table)
    if old is not None:
        yield ""
        yield f"Since {old.made_at}:"
        before = {row.key: row for row in old.rows}
        yield from (_change(before[row.key], row) for row in report.rows if row.key in before)


def _change(then: Row, now: Row) -> str:
    per_cent = f" ({(now.value / then.value - 1) * 100:+.0f} %)" if then.value else ""
    change = f"{figure(then.value)} → {figure(now.value)} {now.unit}".rstrip()
    return f"  {named(now)}: {now.metric}: {change}{per_cent}"
