"""The tables of what calls cost, and of what is measured besides."""

from collections.abc import Iterator

from tools.bench.figures import Bare, Guard, Memory, Row, Sample
from tools.bench.report import Report
from tools.bench.tables import Table, judged
from tools.bench.targets import Target, targets


def tables(report: Report) -> Iterator[Table]:
    """Those for which there are figures."""
    if promised := list(targets(report)):
        yield _targets(promised)
    if report.rows and report.floor is not None:
        yield _calls(report, report.floor)
    if report.memory:
        yield _memory(report)
    if report.guard is not None:
        yield _guard(report.guard)
    yield from _single_lines(report)
    if report.topologies:
        yield _topologies(report)


def _targets(promised: list[Target]) -> Table:
    rows = [
        (
            target.what,
            f"{'≥' if target.at_least else '≤'} {target.limit:g} {target.unit}".rstrip(),
            f"{target.found:.3g} {target.unit}".rstrip(),
            "met" if target.met else "**missed**",
        )
        for target in promised
    ]
    missed = sum(not target.met for target in promised)
    notes = (f"{len(promised) - missed} of {len(promised)} targets are met.",)
    return Table("targets", "Targets", ("", "target", "here", ""), rows, notes)


def _calls(report: Report, floor: Sample) -> Table:
    head: tuple[str, ...] = (
        "",
        "× floor",
        "low to high",
        "target",
        "CPU of the worker",
        "Redis CPU",
    )
    head += ("round trips", "commands", "requests/s", "p50", "p99")
    first = ("empty POST, the floor", "1", "", "", *_sample(floor))
    rows = [first, *(_row(row) for row in report.rows)]
    if report.bare is not None:
        rows += _bare(report.bare, floor)
    notes = (
        f"{report.connections} connections, one worker, medians of {report.rounds} rounds of "
        f"{report.connections * report.requests:,} requests; {report.machine}; {report.software}; "
        f"{report.redis} with an fsync for every write; {report.made_at[:10]}.",
    )
    return Table("calls", "What calls cost", head, rows, notes)


def _row(row: Row) -> tuple[str, ...]:
    limit, ratio = row.ceiling, f"{row.ratio:.2f}"
    return (
        f"`{row.title}`" if row.title.isascii() and "/" in row.title else row.title,
        ratio if limit is None else judged(ratio, row.ratio <= limit),
        f"{row.lowest:.2f}–{row.highest:.2f}",
        "" if limit is None else f"≤ {limit:g}",
        *_sample(row.sample),
    )


def _sample(sample: Sample) -> tuple[str, ...]:
    return (
        f"{sample.cpu:.0f} µs",
        f"{sample.redis_cpu:.1f} µs",
        f"{sample.round_trips:.3g}",
        f"{sample.commands:.3g}",
        f"{sample.per_second:,.0f}",
        f"{sample.p50:.1f} ms",
        f"{sample.p99:.1f} ms",
    )


def _bare(bare: Bare, floor: Sample) -> Iterator[tuple[str, ...]]:
    for title, cpu, redis in (
        ("no HTTP: PyJWT checks a token", bare.jwt, ""),
        ("no HTTP: the bare ES256 signature", bare.signature, ""),
        ("no HTTP: redis-py's `EVALSHA`", bare.evalsha, f"{bare.evalsha_redis:.1f} µs"),
    ):
        blank = ("",) * 5
        yield (title, f"{cpu / floor.cpu:.2f}", "", "", f"{cpu:.0f} µs", redis, *blank)


def _memory(report: Report) -> Table:
    rows = [
        (memory.server, _bytes(memory), f"{memory.event_bytes:.0f}") for memory in report.memory
    ]
    notes = (
        f"{report.memory[0].sessions:,} sessions, two for each user: record, expiry, the user's "
        "index, address and user agent included.",
    )
    head = ("server", "bytes per living session", "per audit event kept")
    return Table("memory", "Memory", head, rows, notes)


def _bytes(memory: Memory) -> str:
    if memory.ceiling is None:
        return f"{memory.session_bytes:.0f}"
    found = judged(f"{memory.session_bytes:.0f}", memory.session_bytes <= memory.ceiling)
    return f"{found} (≤ {memory.ceiling})"


def _guard(guard: Guard) -> Table:
    size = guard.revocation_bytes
    rows = (
        (
            "a token that was checked before",
            judged(f"{guard.cached:.2f} µs", guard.cached <= guard.cached_ceiling),
            f"≤ {guard.cached_ceiling:g} µs",
        ),
        ("a token that is new", f"{guard.uncached:.0f} µs", ""),
        (
            f"… over the bare ES256 signature, {guard.bare:.0f} µs",
            judged(f"{guard.ratio:.2f} ×", guard.ratio <= guard.ratio_ceiling),
            f"≤ {guard.ratio_ceiling:g} ×",
        ),
        (
            f"memory for each of {guard.revocations:,} ended sessions",
            judged(f"{size:.0f} bytes", size <= guard.bytes_ceiling),
            f"≤ {guard.bytes_ceiling:g} bytes",
        ),
    )
    return Table("guard", "In app pods", ("", "", "target"), rows)


def _single_lines(report: Report) -> Iterator[Table]:
    if (seen := report.propagation) is not None:
        row = (
            f"{seen.p50:.1f} ms",
            f"{judged(f'{seen.p99:.1f} ms', seen.p99 <= seen.ceiling)} (≤ {seen.ceiling:g} ms)",
            f"{seen.highest:.1f} ms",
            str(seen.accepted_again),
        )
        title = f"From a 204 until the last of {seen.pods} pods refuses"
        head = ("", "p50", "p99", "highest", "accepted again")
        yield Table("propagation", title, head, [(f"{seen.logouts:,} logouts", *row)])
    if (sealing := report.sealing) is not None:
        yield Table(
            "sealing",
            "The keyring",
            ("a TOTP secret", "", "target"),
            (
                ("sealed", f"{sealing.seal:.1f} µs", f"≤ {sealing.ceiling:g} µs"),
                ("opened", f"{sealing.open:.1f} µs", f"≤ {sealing.ceiling:g} µs"),
            ),
        )


def _topologies(report: Report) -> Table:
    rows = [
        (
            f"`{row.title}`, {row.topology}",
            f"{row.cpu:.0f} µs",
            "1"
            if row.topology == "one server"
            else judged(f"{row.ratio:.2f}", row.ratio <= row.ceiling),
            f"≤ {row.ceiling:g}",
        )
        for row in report.topologies
    ]
    head = ("", "CPU of the worker", "× one server", "target")
    return Table("topologies", "Through Sentinels and a cluster", head, rows)
