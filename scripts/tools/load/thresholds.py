"""What a run must keep to."""

from collections.abc import Iterator

import msgspec

from tools.load.figures import Call, Generator, Verdict, Watched


class Limit(msgspec.Struct, frozen=True):
    """The most that a quantile of a call's latencies may be; `call` is `all` for all together."""

    quantile: str
    call: str
    milliseconds: float


class Thresholds(msgspec.Struct, frozen=True):
    """Limits, the most errors (as a count, or as a share of the requests), and the most memory."""

    limits: tuple[Limit, ...] = ()
    errors: float = 0
    errors_are_a_share: bool = False
    memory_percent: float | None = None
    late_ms: float = 20.0
    """The p99 of how late arrivals may set out; beyond it the generator is what was measured."""

    def judge(
        self, total: Call, calls: list[Call], generator: Generator, watched: list[Watched]
    ) -> tuple[str, list[Verdict]]:
        """Judge: `pass`, `broken` or `unusable`, and each threshold by itself."""
        verdicts = [
            *self._latencies({call.name: call for call in (total, *calls)}),
            self._errors(total),
            *self._memory(watched),
        ]
        if generator.late.p99_ms > self.late_ms or not total.requests:
            return "unusable", verdicts
        if not all(verdict.holds for verdict in verdicts):
            return "broken", verdicts
        return "unusable" if generator.unsent else "pass", verdicts

    def _latencies(self, calls: dict[str, Call]) -> Iterator[Verdict]:
        for limit in self.limits:
            name = "" if limit.call == "all" else f"{limit.call} "
            text = f"{name}{limit.quantile} ≤ {limit.milliseconds:g} ms"
            call = calls.get(limit.call)
            if call is None or not call.requests:
                yield Verdict(text, "no such request", False)
                continue
            measured: float = getattr(call.latencies, f"{limit.quantile}_ms")
            yield Verdict(text, f"{measured:.1f} ms", measured <= limit.milliseconds)

    def _errors(self, total: Call) -> Verdict:
        if self.errors_are_a_share:
            share = total.errors / max(1, total.requests)
            return Verdict(
                f"errors ≤ {self.errors:g} %", f"{share:.3%}", share * 100 <= self.errors
            )
        return Verdict(
            f"errors ≤ {self.errors:g}", f"{total.errors:,}", total.errors <= self.errors
        )

    def _memory(self, watched: list[Watched]) -> Iterator[Verdict]:
        for entry in watched:
            # What a Redis holds follows from what people do.
            if self.memory_percent is not None and not entry.name.endswith(" redis"):
                yield Verdict(
                    f"memory of {entry.name} within {self.memory_percent:g} %",
                    f"{entry.change_percent:+.2f} %",
                    abs(entry.change_percent) <= self.memory_percent,
                )
