"""`scripts/load`: ask, gather people, let them come, report."""

import sys
from argparse import Namespace
from contextlib import closing

import msgspec
import uvloop

from tools.load import capacity, command_line, report, target
from tools.load.arrivals import Plan
from tools.load.figures import Summary
from tools.load.mixes import MIXES
from tools.load.runs import Runs
from tools.load.target import Target, UnusableError
from tools.load.terminal import table
from tools.load.thresholds import Limit, Thresholds
from tools.report.progress import agreed

_EXIT_CODES = {"pass": 0, "broken": 1, "unusable": 2}


def main() -> int:
    """Run as told and return the exit code."""
    asked = _asked()
    try:
        where = target.find(asked.host)
        _ask(where, asked)
        with closing(Runs(where, asked)) as runs:
            return uvloop.run(
                _find_capacity(runs, asked) if asked.find_capacity else _run(runs, asked)
            )
    except UnusableError as error:
        print(f"scripts/load: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _asked() -> Namespace:
    """Read the options, and the `plan` and `thresholds` that they come to; or SystemExit with 2."""
    parser = command_line.parser()
    asked = parser.parse_args()
    if (asked.mix is None) == (asked.find_capacity is None):
        parser.error("name a mix, or --find-capacity and a mix")
    if asked.memory_change is not None and not asked.watch_pid:
        parser.error("--memory-change needs --watch-pid")
    for file in (asked.html, asked.json):
        if file is not None and not file.absolute().parent.is_dir():
            parser.error(f"{file}: there is no such directory")
    mix = MIXES[asked.mix or asked.find_capacity]
    asked.plan = Plan(mix, asked.rate, asked.warm_up, asked.duration, asked.even)
    limits = (
        Limit(name, *each) for name in ("p50", "p95", "p99") for each in getattr(asked, name) or ()
    )
    most, share = asked.errors
    late = asked.late * 1000
    asked.thresholds = Thresholds(tuple(limits), most, share, asked.memory_change, late)
    return asked


def _ask(where: Target, asked: Namespace) -> None:
    """Raise UnusableError, unless it is this machine or somebody says yes."""
    if where.is_loopback or asked.yes:
        return
    what = f"{where.url} ({where.endpoint.address}) is not this machine"
    load = f"It would be loaded with {asked.plan.mix.name}, {asked.plan.rate:g} arrivals a second."
    if not (answer := agreed(f"{what}. {load}")):
        unasked = f"{what}; --yes loads it all the same"
        raise UnusableError(unasked if answer is None else "nothing was sent")


async def _run(runs: Runs, asked: Namespace) -> int:
    await runs.gather(asked.plan)
    summary = await runs.run(asked.plan, asked.thresholds)
    print(table(summary))
    _keep(asked, summary, summary)
    return _EXIT_CODES[summary.verdict]


async def _find_capacity(runs: Runs, asked: Namespace) -> int:
    found = await capacity.find(runs, asked)
    print(capacity.words(found))
    _keep(asked, found, found.best)
    return 1 if found.best is None else 0


def _keep(asked: Namespace, figures: msgspec.Struct, shown: Summary | None) -> None:
    if asked.json:
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
    if asked.html and shown is not None:
        asked.html.write_text(report.page(shown), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
