"""What was promised, and whether it was kept."""

from collections.abc import Iterator

import msgspec

from tools.bench.report import Report

_REDIS_CEILING = 20  # µs of CPU for a logout


class Target(msgspec.Struct, frozen=True):
    """A figure and its limit, in the same unit."""

    what: str
    found: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the figure keeps within its limit."""
        return self.found >= self.limit if self.at_least else self.found <= self.limit


def targets(report: Report) -> Iterator[Target]:
    """All for which there are figures."""
    yield from _costs(report)
    yield from _growth(report)
    yield from _under_load(report)
    yield from _elsewhere(report)


def _costs(report: Report) -> Iterator[Target]:
    for row in report.rows:
        if row.ceiling is not None:
            yield Target(f"CPU of `{row.title}`", row.ratio, row.ceiling, "× floor")
    if (logout := report.row("logout")) is not None:
        sample = logout.sample
        yield Target("CPU of Redis for a logout", sample.redis_cpu, _REDIS_CEILING, "µs")
        yield Target("round trips of a logout", sample.round_trips, 1, "")
    for memory in report.memory:
        if memory.ceiling is not None:
            yield Target(
                f"memory of a session, {memory.server}",
                memory.session_bytes,
                memory.ceiling,
                "bytes",
            )


def _growth(report: Report) -> Iterator[Target]:
    if (growth := report.growth) is None:
        return
    most = max(point.sessions for point in growth.points)
    least = min(point.sessions for point in growth.points)
    for point in growth.points:
        if point.name == "logout" and point.sessions == most:
            beside = f"of a logout with {most:,} sessions, to that with {least:,}"
            yield Target(f"CPU {beside}", point.cpu_ratio, growth.ceiling, "×")
            yield Target(f"p50 {beside}", point.p50_ratio, growth.ceiling, "×")


def _under_load(report: Report) -> Iterator[Target]:
    if (flood := report.flood) is not None:
        share, floor = flood.alone_share * 100, flood.share_floor * 100
        yield Target("logins, to bare bcrypt", share, floor, "%", at_least=True)
        for call in flood.calls:
            what = f"p99 of `{call.title}` in a login storm"
            yield Target(what, call.ratio, call.ceiling, "× idle")
    if (storm := report.storm) is not None:
        for row in storm.rows:
            if row.share == storm.share_promised and row.at_once == 1:
                for call in row.calls:
                    what = f"p99 of `{call.title}` in a logout storm at {row.share:.0%}"
                    yield Target(what, call.ratio, call.ceiling, "× idle")


def _elsewhere(report: Report) -> Iterator[Target]:
    if (sealing := report.sealing) is not None:
        slower = max(sealing.seal, sealing.open)
        yield Target("sealing or opening a TOTP secret", slower, sealing.ceiling, "µs")
    if (guard := report.guard) is not None:
        yield Target("a guard's check of a known token", guard.cached, guard.cached_ceiling, "µs")
        yield Target("… of a new one", guard.ratio, guard.ratio_ceiling, "× ES256")
        size = guard.revocation_bytes
        yield Target("memory of an ended session in a guard", size, guard.bytes_ceiling, "bytes")
    if (seen := report.propagation) is not None:
        yield Target("p99 until the last pod refuses", seen.p99, seen.ceiling, "ms")
    for row in report.topologies:
        if row.topology != "one server":
            what = f"CPU of `{row.title}`, {row.topology}"
            yield Target(what, row.ratio, row.ceiling, "× one server")
    if (workers := report.workers) is not None:
        gain = workers.gain_on_free_cores
        yield Target(
            "what two workers do, on free cores", gain, workers.goal, "× one", at_least=True
        )
