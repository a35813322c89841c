"""From what was recorded to figures."""

import os
from array import array
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from typing import TypeVar

from tools.http_load.quantiles import quantile
from tools.load.arrivals import OpenLoop, Plan
from tools.load.figures import (
    Call,
    Course,
    Failure,
    Generator,
    Series,
    Summary,
    Watched,
    latencies,
)
from tools.load.record import Record, Trace
from tools.load.target import Target
from tools.load.thresholds import Thresholds
from tools.load.watch import Sample, Watch

_MOST_BUCKETS = 120
_T = TypeVar("_T")


def summarise(
    loop: OpenLoop, target: Target, watch: Watch, people: int, thresholds: Thresholds
) -> Summary:
    """Put into figures what a run has left behind, and judge them."""
    plan, record = loop.plan, loop.record
    traces = dict(sorted(record.traces.items(), key=lambda entry: -len(entry[1].due)))
    everything = Trace(*(
        array("d", chain.from_iterable(getattr(trace, name) for trace in traces.values()))
        for name in Trace.__struct_fields__
    ))  # fmt: skip
    total = _call("all", everything, plan)
    calls = [_call(name, trace, plan) for name, trace in traces.items()]
    generator = _generator(loop, target, total, thresholds.late_ms)
    samples = {
        name: [(sample.at - record.started, sample) for sample in several]
        for name, several in watch.samples.items()
    }
    watched = [_watched(name, several, plan) for name, several in samples.items()]
    verdict, verdicts = thresholds.judge(total, calls, generator, watched)
    return Summary(
        mix=plan.mix.name, weights=plan.mix.weights, host=target.url,
        started_at=record.began.isoformat(timespec="seconds"),
        rate=plan.rate, spacing="even" if plan.even else "Poisson",
        warm_up=plan.warm_up, duration=plan.duration, people=people,
        verdict=verdict, verdicts=verdicts, total=total, calls=calls,
        failures=[
            Failure(call, what, count, warm)
            for (call, what, warm), count in record.failures.most_common()
        ],
        generator=generator, watched=watched,
        course=_Buckets(plan.seconds).course(record, traces, everything, samples),
    )  # fmt: skip


def _call(name: str, trace: Trace, plan: Plan) -> Call:
    counted = _counted(trace.due, trace.latency, plan)
    failed, shed = (len(_counted(due, due, plan)) for due in (trace.failed, trace.shed))
    rate = round(len(counted) / plan.duration, 2)
    return Call(name, len(counted), rate, failed, shed, latencies(counted))


def _counted(due: Iterable[float], values: Iterable[float], plan: Plan) -> list[float]:
    """Select the values of those that were due in the steady state."""
    return [value for at, value in zip(due, values, strict=True) if at >= plan.warm_up]


def _generator(loop: OpenLoop, target: Target, total: Call, limit_ms: float) -> Generator:
    return Generator(
        late=latencies(_counted(*loop.record.late, loop.plan)),
        late_limit_ms=limit_ms,
        unsent=loop.unsent,
        most_under_way=loop.most_under_way,
        cpu_us_per_request=round(loop.cpu / max(1, total.requests + total.shed) * 1e6, 1),
        cpu_share=round(loop.cpu / loop.plan.duration, 3),
        shares_the_machine=target.is_loopback,
        load_average=round(os.getloadavg()[0], 2),
        cores=os.cpu_count() or 1,
    )


def _watched(name: str, samples: list[tuple[float, Sample]], plan: Plan) -> Watched:
    def between(start: float, end: float) -> list[Sample]:
        return [sample for at, sample in samples if start <= at < end]

    third, all_ = plan.duration / 3, [sample for _, sample in samples]
    counted = between(plan.warm_up, plan.seconds)
    first = between(plan.warm_up, plan.warm_up + third) or counted or all_
    last = between(plan.seconds - third, plan.seconds) or counted or all_
    means = [sum(sample.memory for sample in part) / len(part) for part in (first, last)]
    change = (means[1] / means[0] - 1) * 100 if means[0] else 0.0
    cores = _cores(counted[0], counted[-1]) if len(counted) > 1 else 0.0
    return Watched(name, means[0], means[1], round(change, 3), cores)


def _cores(one: Sample, other: Sample) -> float:
    return round((other.cpu - one.cpu) / (other.at - one.at), 3)


class _Buckets:
    """Figures over time, in pieces of at least a second."""

    def __init__(self, seconds: float) -> None:
        self._width = max(1.0, -(-seconds // _MOST_BUCKETS))
        self._count = max(1, int(-(-seconds // self._width)))

    def course(
        self,
        record: Record,
        traces: dict[str, Trace],
        everything: Trace,
        samples: dict[str, list[tuple[float, Sample]]],
    ) -> Course:
        rates = {"arrivals": record.late[0], "answers": everything.due, "errors": everything.failed}
        if everything.shed:
            rates["shed"] = everything.shed
        return Course(
            bucket=self._width,
            rates=[
                Series(name, [len(part) / self._width for part in self._of((at, at) for at in due)])
                for name, due in rates.items()
            ],
            latencies={
                name: list(self._quantiles(trace.due, trace.latency))
                for name, trace in traces.items()
                if trace.due
            },
            late=list(self._quantiles(*record.late))[1:],
            memory=[Series(name, self._memory(several)) for name, several in samples.items()],
            cpu=[Series(name, self._cpu(several)) for name, several in samples.items()],
        )

    def _of(self, values: Iterable[tuple[float, _T]]) -> list[list[_T]]:
        """Sort values by the times at which they were due, or taken."""
        found: list[list[_T]] = [[] for _ in range(self._count)]
        for at, value in values:
            if 0 <= (place := int(at / self._width)) < self._count:
                found[place].append(value)
        return found

    def _quantiles(self, due: Iterable[float], seconds: Iterable[float]) -> Iterator[Series]:
        ordered = [sorted(part) for part in self._of(zip(due, seconds, strict=True))]
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            values = [round(quantile(part, share) * 1000, 3) if part else None for part in ordered]
            yield Series(name, values)

    def _memory(self, samples: list[tuple[float, Sample]]) -> list[float | None]:
        return [
            round(sum(sample.memory for sample in part) / len(part) / 2**20, 3) if part else None
            for part in self._of(samples)
        ]

    def _cpu(self, samples: list[tuple[float, Sample]]) -> list[float | None]:
        """Measure each bucket that has a sample, since the last sample before it."""
        last: list[Sample | None] = [None]
        parts = self._of(samples)
        for part in parts:
            last.append(part[-1] if part else last[-1])
        return [
            _cores(before, now) if part and before and now else None
            for part, (before, now) in zip(parts, pairwise(last), strict=True)
        ]
