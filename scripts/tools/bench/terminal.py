"""A report to read in a terminal."""

from collections.abc import Iterator

from tools.bench import sizing, tables_of_costs, tables_of_load
from tools.bench.report import Report
from tools.bench.tables import Table, in_terminal


def all_tables(report: Report) -> Iterator[Table]:
    """Every table for which there are figures."""
    yield from tables_of_costs.tables(report)
    yield from tables_of_load.tables(report)
    yield from sizing.tables(report)


def shown(report: Report, old: Report | None) -> str:
    """All figures; with an `old` report also how they have changed since."""
    return "\n".join(_lines(report, old))


def _lines(report: Report, old: Report | None) -> Iterator[str]:
    yield f"{report.machine}; {report.software}; {report.redis}"
    for table in all_tables(report):
        yield ""
        yield from in_terminal(table)
    if old is not None:
        yield ""
        yield f"Since {old.made_at}:"
        yield from _changes(report, old)


def _changes(report: Report, old: Report) -> Iterator[str]:
    for row in report.rows:
        if (then := old.row(row.name)) is not None:
            yield f"  {row.title}: {_change(then.ratio, row.ratio, '× floor')}"
            redis = _change(then.sample.redis_cpu, row.sample.redis_cpu, "µs of Redis")
            yield f"    {redis}"
    bytes_before = {memory.server: memory.session_bytes for memory in old.memory}
    for memory in report.memory:
        if memory.server in bytes_before:
            change = _change(bytes_before[memory.server], memory.session_bytes, "bytes per session")
            yield f"  {memory.server}: {change}"


def _change(then: float, now: float, unit: str) -> str:
    per_cent = f" ({(now / then - 1) * 100:+.0f} %)" if then else ""
    return f"{then:.2f} → {now:.2f} {unit}{per_cent}"
