"""A report as a table to read in a terminal."""

from collections.abc import Iterator, Sequence

from benchmark.figures import Flood, Guard, Memory, Report, Row, Sealing, Workers

_HEAD = ("", "× floor", "", "at most", "CPU", "req/s", "p50", "p99", "Redis", "round", "commands")
_UNITS = ("", "", "low-high", "", "µs", "", "ms", "ms", "CPU µs", "trips", "")


def table(report: Report, old: Report | None) -> str:
    """All figures; with an `old` report also how they have changed since."""
    return "\n".join(_lines(report, old))


def _lines(report: Report, old: Report | None) -> Iterator[str]:
    yield f"{report.machine}; {report.software}; {report.redis}"
    if report.rows:
        yield (
            f"{report.connections} connections, medians of {report.rounds} rounds of "
            f"{report.connections * report.requests} requests"
        )
        yield ""
        floor = report.floor
        yield from _aligned(
            [
                _HEAD,
                _UNITS,
                (
                    "floor: empty POST",
                    "1.00",
                    "",
                    "",
                    f"{floor.cpu:.0f}",
                    f"{floor.per_second:.0f}",
                    f"{floor.p50:.1f}",
                    f"{floor.p99:.1f}",
                    "",
                    "",
                    "",
                ),
                *(_cells(row) for row in report.rows),
            ]
        )
    if report.sealing:
        yield ""
        yield _sealing(report.sealing)
    if report.guard:
        yield ""
        yield from _guard(report.guard)
    if report.flood:
        yield ""
        yield from _flood(report.flood)
    if seen := report.propagation:
        yield ""
        yield (
            f"A logout is seen by all of {seen.pods} app pods after {seen.p50:.1f} ms (p50), "
            f"{seen.p99:.1f} ms (p99, at most {seen.ceiling:g}), {seen.highest:.1f} ms (of "
            f"{seen.logouts}); accepted again: {seen.accepted_again}"
        )
    if report.topologies:
        yield ""
        yield from _aligned(
            [
                ("CPU of the worker, µs a call", "", "× one server", "at most"),
                *(
                    (
                        f"{row.title}, {row.topology}",
                        f"{row.cpu:.0f}",
                        f"{row.ratio:.2f}",
                        f"{row.ceiling:g}",
                    )
                    for row in report.topologies
                ),
            ]
        )
    if report.workers:
        yield ""
        yield from _workers(report.workers)
    if report.memory:
        yield ""
        yield from (_memory(memory) for memory in report.memory)
    if old is not None:
        yield ""
        yield f"Since {old.made_at}:"
        yield from _changes(report, old)


def _cells(row: Row) -> tuple[str, ...]:
    sample = row.sample
    return (
        row.title,
        f"{row.ratio:.2f}",
        f"{row.lowest:.2f}-{row.highest:.2f}",
        "" if row.ceiling is None else f"{row.ceiling:g}",
        f"{sample.cpu:.0f}",
        f"{sample.per_second:.0f}",
        f"{sample.p50:.1f}",
        f"{sample.p99:.1f}",
        f"{sample.redis_cpu:.1f}",
        f"{sample.round_trips:.2f}",
        f"{sample.commands:.2f}",
    )


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        first, *rest = (
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join((first, *rest)).rstrip()


def _sealing(sealing: Sealing) -> str:
    return (
        f"A TOTP secret is sealed in {sealing.seal:.1f} µs and opened in {sealing.open:.1f} µs "
        f"(each at most {sealing.ceiling:g})"
    )


def _guard(guard: Guard) -> Iterator[str]:
    yield (
        f"A guard checks a token in {guard.cached:.2f} µs (at most {guard.cached_ceiling:g}); "
        f"the first time in {guard.uncached:.1f} µs,"
    )
    yield (
        f"{guard.ratio:.2f} times the {guard.bare:.1f} µs of its bare signature "
        f"(at most {guard.ratio_ceiling:g}); "
        f"{guard.revocation_bytes:.0f} bytes for each of {guard.revocations} ended sessions "
        f"(at most {guard.bytes_ceiling:g})"
    )


def _flood(flood: Flood) -> Iterator[str]:
    yield (
        f"A flood of logins at bcrypt cost {flood.cost} on {flood.connections} connections, "
        f"{flood.seconds:g} s: {flood.logins:.1f} a second,"
    )
    yield (
        f"where the cores alone hash {flood.hashes:.1f}; {flood.shed_share:.0%} shed with 503, "
        f"{flood.without_retry_after} of {flood.shed} without Retry-After"
    )
    yield from _aligned(
        [
            ("ms", "idle p50", "idle p99", "flood p50", "flood p99", "× idle", "at most"),
            *(
                (
                    call.title,
                    f"{call.idle_p50:.1f}",
                    f"{call.idle_p99:.1f}",
                    f"{call.p50:.1f}",
                    f"{call.p99:.1f}",
                    f"{call.ratio:.2f}",
                    f"{call.ceiling:g}",
                )
                for call in flood.calls
            ),
        ]
    )


def _workers(workers: Workers) -> Iterator[str]:
    yield (
        f"Refreshes a second, {workers.connections} connections a worker: "
        f"{workers.one_per_second:.0f} with one worker, {workers.two_per_second:.0f} with two, "
        f"{workers.gain:.2f} times as many"
    )
    yield (
        f"On free cores it would be {workers.gain_on_free_cores:.2f} times (at least "
        f"{workers.goal}): {workers.one_cpu:.0f} µs of CPU each with one, {workers.two_cpu:.0f} "
        f"with two, of which {workers.busiest_cpu:.0f} in the busier"
    )


def _memory(memory: Memory) -> str:
    limit = f" (at most {memory.ceiling})" if memory.ceiling else ""
    return (
        f"{memory.server}: {memory.session_bytes:.0f} bytes{limit} for each of {memory.sessions} "
        f"sessions at two a user, and {memory.event_bytes:.0f} for an audit event that is kept"
    )


def _changes(report: Report, old: Report) -> Iterator[str]:
    before = {row.name: row for row in old.rows}
    for row in report.rows:
        if (then := before.get(row.name)) is not None:
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
