"""What is asked for, from the command line."""

from pathlib import Path

import msgspec

from tools.load import command_line
from tools.load.arrivals import Plan
from tools.load.mixes import MIXES
from tools.load.thresholds import Limit, Thresholds


class Options(msgspec.Struct, frozen=True):
    """What is asked for."""

    plan: Plan
    host: str
    find_capacity: bool
    step: float
    thresholds: Thresholds
    tokens: Path | None
    people: int | None
    patience: float
    watch: tuple[int, ...]
    yes: bool
    html: Path | None
    json: Path | None


def parse(arguments: list[str] | None = None) -> Options:
    """The options, or SystemExit with 2."""
    parser = command_line.parser()
    given = parser.parse_args(arguments)
    if (given.mix is None) == (given.find_capacity is None):
        parser.error("name a mix, or --find-capacity and a mix")
    if given.memory_change is not None and not given.watch_pid:
        parser.error("--memory-change needs --watch-pid")
    for file in (given.html, given.json):
        if file is not None and not file.absolute().parent.is_dir():
            parser.error(f"{file}: there is no such directory")
    limits = [
        Limit(name, *each) for name in ("p50", "p95", "p99") for each in getattr(given, name) or ()
    ]
    most, share = given.errors
    return Options(
        plan=Plan(
            MIXES[given.mix or given.find_capacity],
            given.rate,
            given.warm_up,
            given.duration,
            given.even,
        ),
        host=given.host,
        find_capacity=given.find_capacity is not None,
        step=given.step,
        thresholds=Thresholds(tuple(limits), most, share, given.memory_change, given.late * 1000),
        tokens=given.tokens,
        people=given.people,
        patience=given.timeout,
        watch=tuple(given.watch_pid or ()),
        yes=given.yes,
        html=given.html,
        json=given.json,
    )
