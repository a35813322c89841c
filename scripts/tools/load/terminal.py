"""A run as text."""

from tools.load.figures import Call, Summary
from tools.report.tables import Table, in_terminal

_HEAD = ("Call", "Requests", "A second", "Errors", "Shed", "p50 ms", "p95 ms", "p99 ms", "Max ms")


def calls(summary: Summary) -> Table:
    """List the calls, and all of them together."""
    rows = [_row(call) for call in (*summary.calls, summary.total)]
    return Table("calls", "Calls in the steady state", _HEAD, rows)


def watched(summary: Summary) -> Table:
    """List the processes that were watched."""
    head = ("Process", "First third, MiB", "Last third, MiB", "Change", "Cores")
    rows = [
        (w.name, f"{w.first_third / 2**20:.1f}", f"{w.last_third / 2**20:.1f}",
         f"{w.change_percent:+.2f} %", f"{w.cores:.2f}")
        for w in summary.watched
    ]  # fmt: skip
    return Table("watched", "Memory and CPU of processes, with their children", head, rows)


def generator(summary: Summary) -> Table:
    """Tell how the generator did, and what it cost."""
    made = summary.generator
    rows = [
        ("Arrivals set out late by, p50 / p99 / max",
         f"{made.late.p50_ms:.1f} / {made.late.p99_ms:.1f} / {made.late.max_ms:.1f} ms"),
        ("Arrivals that came to nothing", f"{made.unsent:,}"),
        ("Under way at most", f"{made.most_under_way:,}"),
        ("CPU a request", f"{made.cpu_us_per_request:.0f} µs"),
        ("CPU", f"{made.cpu_share:.2f} of {made.cores} cores"),
        ("On the machine that it loads", "yes" if made.shares_the_machine else "no"),
        ("Load average of its machine at the end", f"{made.load_average:g}"),
    ]  # fmt: skip
    return Table("generator", "The generator", ("", ""), rows)


def table(summary: Summary) -> str:
    """Write the run as text: calls, failures, generator, what was watched, the verdict."""
    lines = [
        f"{summary.mix} on {summary.host}, {summary.rate:g} arrivals a second"
        f" ({summary.spacing}) for {summary.duration:g} s after {summary.warm_up:g} s of warm-up",
        "",
        *in_terminal(calls(summary)),
        "",
    ]
    for failure in summary.failures:
        when = " (while warming up)" if failure.in_warm_up else ""
        lines.append(f"error: {failure.call}: {failure.what}: {failure.count:,} times{when}")
    if summary.failures:
        lines.append("")
    if summary.watched:
        lines += [*in_terminal(watched(summary)), ""]
    lines += [*in_terminal(generator(summary)), ""]
    lines += [
        f"{'holds' if v.holds else 'BROKEN'}: {v.threshold}: {v.measured}" for v in summary.verdicts
    ]
    return "\n".join([*lines, ending(summary)])


def ending(summary: Summary) -> str:
    """Say the verdict in a sentence."""
    if summary.verdict == "pass":
        return "pass: every threshold holds"
    if summary.verdict == "broken":
        return "broken: a threshold does not hold"
    if not summary.total.requests:
        return "unusable: nothing was answered in the steady state"
    made = summary.generator
    if made.late.p99_ms <= made.late_limit_ms:
        return f"unusable: {made.unsent:,} arrivals found nobody left to send; more --people?"
    return (
        "unusable: the generator could not keep up: arrivals set out"
        f" {made.late.p99_ms:.1f} ms late (p99, at most {made.late_limit_ms:g}); ask for a lower"
        " rate, or load from another machine"
    )


def _row(call: Call) -> tuple[str, ...]:
    times = call.latencies
    numbers = (times.p50_ms, times.p95_ms, times.p99_ms, times.max_ms)
    counts = (f"{call.requests:,}", f"{call.per_second:,.1f}", f"{call.errors:,}", f"{call.shed:,}")
    return call.name, *counts, *(f"{number:,.1f}" for number in numbers)
