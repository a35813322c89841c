"""`scripts/load`: ask, gather people, let them come, report."""

import sys

import msgspec
import uvloop

from tools.load import capacity, options, report, target
from tools.load.errors import UnusableError
from tools.load.options import Options
from tools.load.runs import Runs
from tools.load.status import Status
from tools.load.target import Target
from tools.load.terminal import table

_EXIT_CODES = {"pass": 0, "broken": 1, "unusable": 2}


def main() -> int:
    """Run as told and return the exit code."""
    asked = options.parse()
    try:
        where = target.find(asked.host)
        _ask(where, asked)
        return uvloop.run(_load(where, asked))
    except UnusableError as error:
        print(f"scripts/load: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _ask(where: Target, asked: Options) -> None:
    """Raises UnusableError, unless it is this machine or somebody says yes."""
    if where.is_loopback or asked.yes:
        return
    what = f"{where.url} ({where.address}) is not this machine"
    if not sys.stdin.isatty():
        raise UnusableError(f"{what}; --yes loads it all the same")
    print(f"{what}. Load it with {asked.plan.mix.name}, {asked.plan.rate:g} arrivals a second?")
    if input("[y/N] ").strip().lower() not in ("y", "yes"):
        raise UnusableError("nothing was sent")


async def _load(where: Target, asked: Options) -> int:
    with Runs(where, asked) as runs:
        return await (_find_capacity(runs, asked) if asked.find_capacity else _run(runs, asked))


async def _run(runs: Runs, asked: Options) -> int:
    await runs.gather(asked.plan)
    status = Status()
    try:
        summary = await runs.run(asked.plan, asked.thresholds, status)
    finally:
        status.end()
    print(table(summary))
    if asked.json:
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(summary)) + b"\n")
    if asked.html:
        asked.html.write_text(report.page(summary), encoding="utf-8")
    return _EXIT_CODES[summary.verdict]


async def _find_capacity(runs: Runs, asked: Options) -> int:
    status = Status()
    try:
        found = await capacity.find(runs, asked, status)
    finally:
        status.end()
    print(capacity.words(found))
    if asked.json:
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    if asked.html and found.best is not None:
        asked.html.write_text(report.page(found.best), encoding="utf-8")
    return 0 if found.best is not None else 1


if __name__ == "__main__":
    sys.exit(main())
