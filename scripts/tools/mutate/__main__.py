"""`scripts/mutate`: which protections could be lost without a test noticing?"""

import argparse
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

from tools.mutate.mutants import Mutant, of_module, of_script
from tools.mutate.selection import IN_PROCESS
from tools.mutate.targets import Tests, chosen, is_equivalent
from tools.mutate.trial import Outcome, Workspace
from tools.report import arguments
from tools.report.arguments import Parser

ROOT = Path(__file__).parents[3]

_DESCRIPTION = """\
Change one thing in a script or module at a time, run its tests, and name what nobody noticed.

A mutant turns a comparison, a condition, a number or an option around, or leaves a statement out.
Its tests run in a copy of the repository, on Valkey and SQLite. What they notice is killed; what
survives is a protection that could be lost, or a change without an effect (then it belongs into
scripts/tools/mutate/equivalent.toml, with the reason).
"""

_EPILOG = """\
  scripts/mutate --list sessions/rotate.lua   the mutants of one script, without running anything
  scripts/mutate sessions/ twofactor/         those of two rooms
  scripts/mutate .lua --sample 50             fifty of all scripts
  scripts/mutate --under 95                   fails below 95 %
"""


def main() -> int:
    """Run as told and return the exit code: 1 where too many have survived."""
    options = _parser().parse_args()
    work = list(_work(options))
    if options.list:
        for mutant, _ in work:
            print(mutant.name)
        return 0
    if not work:
        print("scripts/mutate: no such file among those that are mutated", file=sys.stderr)
        return 2
    if options.in_process:
        os.environ[IN_PROCESS] = "1"
    return _run_all(work, options.jobs, options.under)


def _parser() -> Parser:
    made = arguments.parser("mutate", _DESCRIPTION, _EPILOG)
    made.add_argument("only", nargs="*", help="parts of paths; none: everything critical")
    made.flag("--list", "name the mutants, run nothing")
    made.option("--sample", int, "N", "so many, chosen by --seed")
    made.option("--seed", int, None, "of the sample (default: 1)", 1)
    made.option("--jobs", int, None, "at once (default: 2)", 2)
    what = "only tests that start no process of the service: much quicker, kills fewer"
    made.flag("--in-process", what)
    made.option("--under", float, "PERCENT", "fail if fewer are killed", 0)
    return made


def _work(options: argparse.Namespace) -> Sequence[tuple[Mutant, Tests]]:
    found = [
        (mutant, tests)
        for path, tests in chosen(ROOT, options.only)
        for mutant in _mutants(path)
        if not is_equivalent(mutant)
    ]
    if options.sample is None or options.sample >= len(found):
        return found
    sample = random.Random(options.seed).sample(range(len(found)), options.sample)
    return [found[at] for at in sorted(sample)]  # those of one target together


def _mutants(path: Path) -> Iterator[Mutant]:
    source = (ROOT / path).read_text(encoding="utf-8")
    make = of_script if path.suffix == ".lua" else of_module
    return make(str(path), source)


def _run_all(work: Sequence[tuple[Mutant, Tests]], jobs: int, under: float) -> int:
    noticed: Counter[str] = Counter()
    outcomes: Counter[Outcome] = Counter()
    idle: SimpleQueue[Workspace] = SimpleQueue()
    with TemporaryDirectory(prefix="openshow-mutants-") as directory:
        workspaces = []
        for job in range(jobs):
            (Path(directory) / str(job)).mkdir()
            workspaces.append(Workspace(ROOT, Path(directory) / str(job), noticed))
            idle.put(workspaces[-1])
        first = idle.get()
        patience = {}
        for tests in dict.fromkeys(tests for _, tests in work):
            print(f"running {' '.join(tests)} without a mutant ...", flush=True)
            took = first.baseline(tests)
            print(f"... {took:.0f} s", flush=True)
            patience[tests] = 30 + 3 * took
        idle.put(first)

        def judge(item: tuple[Mutant, Tests]) -> tuple[Mutant, Outcome]:
            mutant, tests = item
            workspace = idle.get()
            try:
                return mutant, workspace.judge(mutant, tests, patience[tests])
            finally:
                idle.put(workspace)

        began = time.monotonic()
        with ThreadPoolExecutor(jobs) as pool:
            for done, (mutant, outcome) in enumerate(pool.map(judge, work), 1):
                outcomes[outcome] += 1
                if outcome == "survived":
                    print(f"\rSURVIVED {mutant.name}", flush=True)
                if sys.stdout.isatty() or done % 20 == 0:
                    left = (time.monotonic() - began) / done * (len(work) - done)
                    print(f"\r{done}/{len(work)}, {left / 60:.0f} min left ", end="", flush=True)
        for workspace in workspaces:
            workspace.close()
    killed = outcomes["killed"] + outcomes["hung"]
    rate = 100 * killed / len(work)
    print(f"\n{killed} of {len(work)} killed ({rate:.1f} %), {outcomes['hung']} of them by hanging")
    return 1 if rate < under else 0


if __name__ == "__main__":
    sys.exit(main())
