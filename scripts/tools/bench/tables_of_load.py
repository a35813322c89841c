"""The tables of what changes with sessions, connections and workers, and of storms."""

from collections.abc import Iterator
from itertools import takewhile

from tools.bench.curves import Crowd, Growth, GrowthPoint
from tools.bench.disturbance import Budget, Disturbed, Flood, LogoutStorm, StormRow
from tools.bench.figures import Workers
from tools.bench.report import Report
from tools.bench.tables import Table, judged


def tables(report: Report) -> Iterator[Table]:
    """Those for which there are figures."""
    if report.growth is not None:
        yield _growth(report.growth)
    if report.crowds:
        yield _connections(list(report.crowds))
    if report.workers is not None:
        yield _workers(report.workers)
    if report.flood is not None:
        yield _flood(report.flood)
    if report.storm is not None:
        yield _storm(report.storm)


def _growth(growth: Growth) -> Table:
    most = max(point.sessions for point in growth.points)
    rows = [_point(point, growth, point.sessions == most) for point in growth.points]
    notes = (
        f"With {most:,} sessions at rest, Redis takes {growth.idle_cpu:.1%} of a core; it "
        f"stands still for {growth.fork_ms:.0f} ms when it forks to rewrite its append-only file, "
        f"and its child takes {growth.rewrite_seconds:.0f} s.",
    )
    head: tuple[str, ...] = (
        "",
        "living sessions",
        "CPU of the worker",
        "× the least",
        "Redis CPU",
        "p50",
    )
    head += ("× the least", "pairs")
    return Table("growth", "With more sessions", head, rows, notes)


def _point(point: GrowthPoint, growth: Growth, largest: bool) -> tuple[str, ...]:
    promised = largest and point.name == "logout"

    def times(ratio: float) -> str:
        return judged(f"{ratio:.2f}", ratio <= growth.ceiling) if promised else f"{ratio:.2f}"

    return (
        f"`{point.title}`",
        f"{point.sessions:,}",
        f"{point.cpu:.0f} µs",
        times(point.cpu_ratio),
        f"{point.redis_cpu:.1f} µs",
        f"{point.p50:.1f} ms",
        times(point.p50_ratio),
        str(point.pairs),
    )


def _connections(crowds: list[Crowd]) -> Table:
    rows = [
        (
            f"`{row.title}`",
            str(crowd.connections),
            f"{row.ratio:.2f}",
            f"{row.sample.cpu:.0f} µs",
            f"{row.sample.redis_cpu:.1f} µs",
            f"{row.sample.per_second:,.0f}",
            f"{row.sample.p50:.1f} ms",
            f"{row.sample.p99:.1f} ms",
        )
        for name in [row.name for row in crowds[0].rows]
        for crowd in crowds
        for row in crowd.rows
        if row.name == name
    ]
    floors = ", ".join(f"{each.floor.cpu:.0f} µs on {each.connections}" for each in crowds)
    head: tuple[str, ...] = ("", "connections", "× floor", "CPU of the worker", "Redis CPU")
    head += ("requests/s", "p50", "p99")
    notes = (f"The floor, an empty POST: {floors}.",)
    return Table("connections", "With more or fewer connections", head, rows, notes)


def _workers(workers: Workers) -> Table:
    gain = workers.gain_on_free_cores
    rows = (
        (
            "CPU for a refresh, of all processes of the service",
            f"{workers.one_cpu:.0f} µs",
            f"{workers.two_cpu:.0f} µs",
            "",
        ),
        (
            "… of the worker that has the most to do",
            f"{workers.one_cpu:.0f} µs",
            f"{workers.busiest_cpu:.0f} µs",
            f"{judged(f'{gain:.2f} ×', gain >= workers.goal)} (≥ {workers.goal})",
        ),
        (
            "refreshes a second here",
            f"{workers.one_per_second:,.0f}",
            f"{workers.two_per_second:,.0f}",
            f"{workers.gain:.2f} ×",
        ),
    )
    head = ("", "one worker", "two", "")
    notes = (f"{workers.connections} connections for each worker.",)
    return Table("workers", "Two workers", head, rows, notes)


def _flood(flood: Flood) -> Table:
    met = flood.alone_share >= flood.share_floor
    notes = [
        f"bcrypt at cost {flood.cost} on all cores, and nothing else: {flood.hashes:.2f} hashes a "
        f"second. The flood alone: {flood.alone:.2f} logins a second, "
        f"{judged(f'{flood.alone_share:.1%}', met)} (target: ≥ {flood.share_floor:.0%}). With the "
        f"calls beside it: {flood.logins:.2f}, {flood.beside_share:.1%}.",
        f"{flood.connections} connections log in; {flood.shed_share:.0%} of what they sent was "
        f"shed with 503, {flood.without_retry_after} of {flood.shed:,} without Retry-After.",
        f"Medians of {flood.rounds} rounds of {flood.seconds:g} s.",
    ]
    if flood.budget is not None:
        notes.append(_shares(flood.budget))
    rows = [_disturbed(f"`{call.title}`", call) for call in flood.calls]
    return Table("flood", "A flood of logins", _DISTURBED, rows, notes)


def _shares(budget: Budget) -> str:
    return (
        f"Who had the cores while the flood was alone: hashing {budget.hashing:.1%}, the rest of "
        f"the service {budget.service:.1%}, Redis {budget.redis:.1%}, the client "
        f"{budget.client:.1%}, other programs and the kernel {budget.others:.1%}, nobody "
        f"{budget.idle:.1%}. Of the CPU that all of this took, whatever others did, hashing "
        f"had {budget.hashing_of_ours:.1%}."
    )


_DISTURBED = ("", "idle p50", "idle p99", "storm p50", "storm p99", "p99 × idle", "target")


def _disturbed(title: str, call: Disturbed) -> tuple[str, ...]:
    return (
        title,
        f"{call.idle_p50:.1f} ms",
        f"{call.idle_p99:.1f} ms",
        f"{call.p50:.1f} ms",
        f"{call.p99:.1f} ms",
        judged(f"{call.ratio:.2f}", call.ratio <= call.ceiling),
        f"≤ {call.ceiling:g}",
    )


def _storm(storm: LogoutStorm) -> Table:
    rows = [
        _disturbed(f"{_form(row)}: `{call.title}`", call)
        for row in storm.rows
        for call in row.calls
    ]
    even = sorted((row.share, row.holds) for row in storm.rows if row.at_once == 1)
    held = [share for share, _ in takewhile(lambda each: each[1], even)]
    strongest = held[-1] if held else 0
    own = "; ".join(
        f"{_form(row)}: {row.p50:.1f} and {row.p99:.1f} ms, {row.busy:.0%}" for row in storm.rows
    )
    notes = (
        f"One worker does {storm.capacity:,.0f} logouts a second here, on {storm.connections} "
        f"connections. Evenly, the target holds up to {strongest:.0%} of that.",
        f"The logouts themselves, p50 and p99, and how busy the worker was: {own}.",
        f"{storm.rounds} rounds of {storm.seconds:g} s taken together.",
    )
    return Table("storm", "A storm of logouts", _DISTURBED, rows, notes)


def _form(row: StormRow) -> str:
    if row.at_once > 1:
        return f"{row.at_once:,} at once, every second"
    return f"{row.per_second:,.0f} a second ({row.share:.0%})"
