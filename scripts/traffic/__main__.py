"""`scripts/load`: ask, gather people, let them come, report."""

import locust  # noqa: F401, I001 - first of all: it replaces the sockets of what comes after it

import sys

import msgspec

from traffic import capacity, options, report, target
from traffic.errors import UnusableError
from traffic.options import Options
from traffic.stage import Stage
from traffic.status import Status
from traffic.target import Target
from traffic.words import table

_EXIT_CODES = {"pass": 0, "broken": 1, "unusable": 2}


def main() -> int:
    """Run as told and return the exit code."""
    asked = options.parse()
    try:
        where = target.find(asked.host)
        _ask(where, asked)
        with Stage(where, asked) as stage:
            return _find_capacity(stage, asked) if asked.find_capacity else _run(stage, asked)
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


def _run(stage: Stage, asked: Options) -> int:
    stage.gather(asked.plan)
    status = Status()
    try:
        summary = stage.run(asked.plan, asked.thresholds, status)
    finally:
        status.end()
    print(table(summary))
    if asked.json:
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(summary)) + b"\n")
    if asked.html:
        asked.html.write_text(report.page(summary), encoding="utf-8")
    return _EXIT_CODES[summary.verdict]


def _find_capacity(stage: Stage, asked: Options) -> int:
    status = Status()
    try:
        found = capacity.find(stage, asked, status)
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
