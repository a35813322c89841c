"""`scripts/chaos`: break things, and see what the answers were worth."""

import asyncio
import logging
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import structlog

from tools.chaos import command_line, sinks
from tools.chaos.displacing import flood
from tools.chaos.schedule import CONTROLS, Control, Rollback, topology_of
from tools.chaos.sinks import Sinks
from tools.chaos.stage import Stage, raised
from tools.chaos.trial import Trial, Verdict, run
from tools.report.progress import StatusLine


def main() -> int:
    """Run as told and return the exit code: 1 where a promise was broken."""
    options = command_line.parser().parse_args()
    # The operators' and the guard's, which are in this process; the pods log into files of theirs.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    if options.displace:
        return _displace(options.minutes * 60)
    control = CONTROLS.get(options.control, Control())
    rollbacks = tuple(each for each in get_args(Rollback) if getattr(options, each))
    trials = [
        Trial(
            seed,
            control.topology if options.control else options.topology or topology_of(seed),
            options.users,
            options.minutes * 60,
            options.people,
            control,
            rollbacks,
            options.sinks or control.has_sinks,
        )
        for seed in range(options.seed, options.seed + options.runs)
    ]
    try:
        return 1 if asyncio.run(_run_all(trials, options.keep)) else 0
    except KeyboardInterrupt:
        return 130


def _displace(seconds: float) -> int:
    """Flood a stream of events. Return 1 where another's events are not there."""
    progress = StatusLine(timed=True)
    found = asyncio.run(flood(seconds, progress))
    progress.end()
    print("\n".join(found.lines()), flush=True)
    return 1 if found.missing else 0


async def _run_all(trials: Sequence[Trial], keep: Path) -> int:
    """Run them all. How many have found violations. A stage stays for all with its topology."""
    broken = 0
    for topology in dict.fromkeys(trial.topology for trial in trials):
        chosen = [trial for trial in trials if trial.topology == topology]
        progress = StatusLine(timed=True)
        with TemporaryDirectory(prefix="chaos-") as directory:
            async with AsyncExitStack() as stack:
                copies, more = None, {}
                if chosen[0].has_sinks:
                    copies = await stack.enter_async_context(sinks.opened(Path(directory)))
                    more = copies.settings
                stage = await stack.enter_async_context(
                    raised(
                        topology, chosen[0].users, chosen[0].control, Path(directory), progress,
                        more=more,
                    )
                )  # fmt: skip
                if copies is not None:
                    await copies.begun(stage)
                for trial in chosen:
                    broken += await _run(trial, stage, keep, progress, copies)
    return broken


async def _run(
    trial: Trial, stage: Stage, keep: Path, progress: StatusLine, copies: Sinks | None
) -> bool:
    """Run one schedule and tell what came of it. Whether a promise was broken."""
    progress.end()
    print(f"seed {trial.seed}, {trial.topology}, {trial.seconds:g} s of faults:")
    for planned in trial.schedule():
        print(f"  {planned}")
    if copies is not None:
        moods = sinks.plan(trial.seed, trial.seconds)
        print("  the receiver is " + ", ".join(f"{mood} for {for_:g} s" for for_, mood in moods))
    verdict = await run(trial, stage, progress, copies)
    progress.end()
    print(_summary(verdict), flush=True)
    for violation in verdict.violations[:10]:
        print(f"  {violation.rule}: {violation.says} (operations {violation.operations})")
    if verdict.violations:
        path = keep / f"chaos-{trial.seed}-{trial.topology}.jsonl"
        people = {violation.person for violation in verdict.violations}
        verdict.history.keep(path, people)
        for number, pod in enumerate(stage.pods):
            shutil.copy(pod.directory / "service.log", path.with_suffix(f".pod-{number}.log"))
        print(f"  the history of those concerned is in {path}, logs beside it", flush=True)
    return bool(verdict.violations)


def _summary(verdict: Verdict) -> str:
    operations = verdict.history.operations
    outcomes = Counter(operation.outcome for operation in operations)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    faults = len(verdict.history.faults)
    found = len(verdict.violations)
    return (
        f"{'VIOLATED' if found else 'kept'}: {found} violations in {len(operations)} operations "
        f"({counts}); {faults} faults, {verdict.replies_lost} replies lost"
    )


if __name__ == "__main__":
    sys.exit(main())
