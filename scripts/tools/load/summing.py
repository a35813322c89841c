"""From what was recorded to figures."""

import os
from array import array
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

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
    after,
    between,
    buckets,
    latencies,
)
from tools.load.record import Record, Trace
from tools.load.target import Target
from tools.load.thresholds import Thresholds
from tools.load.watch import Sample, Watch

_MOST_BUCKETS = 120


class Made(msgspec.Struct, frozen=True):
    """What a run has left behind."""

    loop: OpenLoop
    target: Target
    watch: Watch
    people: int
    began: datetime


def summarise(made: Made, thresholds: Thresholds) -> Summary:
    """The run in figures, judged."""
    loop, plan, record = made.loop, made.loop.plan, made.loop.record
    everything = Trace(*(array("d") for _ in range(4)))
    for trace in record.traces.values():
        everything.due.extend(trace.due)
        everything.latency.extend(trace.latency)
        everything.failed.extend(trace.failed)
        everything.shed.extend(trace.shed)
    total = _call("all", everything, plan)
    calls = [_call(name, trace, plan) for name, trace in _by_number(record)]
    generator = _generator(loop, made.target, total, thresholds.late_ms)
    watched = [_watched(*entry, plan, record.started) for entry in made.watch.samples.items()]
    verdict, verdicts = thresholds.judge(total, calls, generator, watched)
    return Summary(
        mix=plan.mix.name, weights=plan.mix.weights, host=made.target.url,
        started_at=made.began.astimezone(UTC).isoformat(timespec="seconds"),
        rate=plan.rate, spacing="even" if plan.even else "Poisson",
        warm_up=plan.warm_up, duration=plan.duration, people=made.people,
        verdict=verdict, verdicts=verdicts, total=total, calls=calls,
        failures=[
            Failure(call, what, count, warm)
            for (call, what, warm), count in record.failures.most_common()
        ],
        generator=generator, watched=watched,
        course=_course(record, everything, plan, made.watch),
    )  # fmt: skip


def _by_number(record: Record) -> list[tuple[str, Trace]]:
    return sorted(record.traces.items(), key=lambda entry: -len(entry[1].due))


def _call(name: str, trace: Trace, plan: Plan) -> Call:
    start = plan.warm_up
    counted = [s for at, s in zip(trace.due, trace.latency, strict=True) if at >= start]
    return Call(
        name, len(counted), round(len(counted) / plan.duration, 2), after(trace.failed, start),
        after(trace.shed, start), latencies(counted),
    )  # fmt: skip


def _generator(loop: OpenLoop, target: Target, total: Call, limit_ms: float) -> Generator:
    due, late = loop.record.late
    counted = [s for at, s in zip(due, late, strict=True) if at >= loop.plan.warm_up]
    answered = max(1, total.requests + total.shed)
    return Generator(
        late=latencies(counted),
        late_limit_ms=limit_ms,
        unsent=loop.unsent,
        most_under_way=loop.most_under_way,
        cpu_us_per_request=round(loop.cpu / answered * 1e6, 1),
        cpu_share=round(loop.cpu / loop.plan.duration, 3),
        shares_the_machine=target.is_loopback,
        load_average=round(os.getloadavg()[0], 2),
        cores=os.cpu_count() or 1,
    )


def _watched(name: str, samples: list[Sample], plan: Plan, started: float) -> Watched:
    times = [sample.at - started for sample in samples]
    third = plan.duration / 3
    counted = samples[between(times, plan.warm_up, plan.seconds)]
    first = samples[between(times, plan.warm_up, plan.warm_up + third)] or counted or samples
    last = samples[between(times, plan.seconds - third, plan.seconds)] or counted or samples
    means = [sum(sample.memory for sample in part) / len(part) for part in (first, last)]
    seconds = counted[-1].at - counted[0].at if len(counted) > 1 else 0.0
    cores = (counted[-1].cpu - counted[0].cpu) / seconds if seconds else 0.0
    change = (means[1] / means[0] - 1) * 100 if means[0] else 0.0
    return Watched(name, means[0], means[1], round(change, 3), round(cores, 3))


def _course(record: Record, everything: Trace, plan: Plan, watch: Watch) -> Course:
    width = max(1.0, -(-plan.seconds // _MOST_BUCKETS))
    count = max(1, int(-(-plan.seconds // width)))
    return Course(
        bucket=width,
        rates=[
            _rate("arrivals", record.late[0], width, count),
            _rate("answers", everything.due, width, count),
            _rate("errors", everything.failed, width, count),
            *([_rate("shed", everything.shed, width, count)] if everything.shed else []),
        ],
        latencies={
            name: list(_quantiles(trace.due, trace.latency, width, count))
            for name, trace in _by_number(record)
            if trace.due
        },
        late=list(_quantiles(*record.late, width, count))[1:],
        memory=[
            Series(name, _sampled(samples, record.started, width, count))
            for name, samples in watch.samples.items()
        ],
        cpu=[
            Series(name, _spent(samples, record.started, width, count))
            for name, samples in watch.samples.items()
        ],
    )


def _rate(name: str, due: "array[float]", width: float, count: int) -> Series:
    return Series(name, [len(part) / width for part in buckets(due, due, width, count)])


def _quantiles(
    due: "array[float]", seconds: "array[float]", width: float, count: int
) -> Iterator[Series]:
    ordered = [sorted(part) for part in buckets(due, seconds, width, count)]
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        yield Series(
            name, [round(quantile(part, share) * 1000, 3) if part else None for part in ordered]
        )


def _grouped(samples: list[Sample], started: float, width: float, count: int) -> list[list[Sample]]:
    found: list[list[Sample]] = [[] for _ in range(count)]
    for sample in samples:
        place = int((sample.at - started) / width)
        if 0 <= place < count:
            found[place].append(sample)
    return found


def _sampled(samples: list[Sample], started: float, width: float, count: int) -> list[float | None]:
    return [
        round(sum(s.memory for s in part) / len(part) / 2**20, 3) if part else None
        for part in _grouped(samples, started, width, count)
    ]


def _spent(samples: list[Sample], started: float, width: float, count: int) -> list[float | None]:
    values: list[float | None] = []
    before: Sample | None = None
    for part in _grouped(samples, started, width, count):
        if part and before is not None:
            values.append(round((part[-1].cpu - before.cpu) / (part[-1].at - before.at), 3))
        else:
            values.append(None)
        before = part[-1] if part else before
    return values
