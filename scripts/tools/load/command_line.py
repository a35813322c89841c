"""The command line: nothing but Python, so that --help comes before anything is installed."""

import argparse
import re
from pathlib import Path

from tools.load.mixes import MIXES

_DESCRIPTION = """\
Requests at a steady rate, mixed as people would send them, against a running service.

Arrivals keep their times whatever the answers take, and a latency counts from when its request was
due: a service that stalls is charged for everybody who came meanwhile. People are virtual: each has
one session and one chain of refresh tokens, and refreshes before the access token ends. They come
from a file (--tokens), or sign up for the run.
"""

_EPILOG = """\
Exit code: 0 all thresholds hold, 1 one is broken, 2 nothing was measured, or the generator could
not keep up, so that the figures tell of it and not of the service. 130 after Ctrl-C.

  scripts/load browse                                       50 a second for a minute
  scripts/load mixed --tokens tokens.jsonl --rate 300 --duration 15m --html report.html \\
      --p99 50ms --p99 refresh=30ms --errors 0 --watch-pid 4711 --memory-change 2%
  scripts/load --find-capacity mixed --tokens tokens.jsonl --p99 50ms --json capacity.json

The service should run with SERVICE_RATE_LIMIT=off: everything comes from one address.
"""

_TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|)")
_UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}


def parser() -> argparse.ArgumentParser:
    """The command line's."""
    mixes = "".join(
        f"  {mix.name:13} {mix.about}:\n{'':16}{mix.words()}\n" for mix in MIXES.values()
    )
    made = argparse.ArgumentParser(
        prog="scripts/load",
        description=f"{_DESCRIPTION}\nMixes:\n{mixes}",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("mix", nargs="?", choices=MIXES, metavar="MIX", help="one of the above")
    _add_load(made)
    _add_thresholds(made)
    _add_results(made)
    return made


def _add_load(parser: argparse.ArgumentParser) -> None:
    load = parser.add_argument_group("the load")
    add = load.add_argument
    add("--host", default="http://127.0.0.1:8000", metavar="URL", help="default: %(default)s")
    add("--rate", type=_rate, default=50.0, help="arrivals a second (default: 50)")
    add("--warm-up", type=_seconds, default=5.0, metavar="TIME", help="not counted (default: 5s)")
    add("--duration", type=_duration, default=60.0, metavar="TIME", help="counted (default: 60s)")
    add("--even", action="store_true", help="evenly spaced arrivals; else at random (Poisson)")
    add(
        "--tokens",
        type=Path,
        metavar="FILE",
        help="people, of scripts/seed --export FILE;"
        " FILE.used remembers how far it was read, so that no token is used twice",
    )
    add(
        "--people",
        type=_count,
        metavar="N",
        help="there at once (default: 1000 with --tokens,"
        " else 100, who sign up, each at the cost of a password hash)",
    )
    add(
        "--timeout",
        type=_duration,
        default=10.0,
        metavar="TIME",
        help="for an answer (default: 10s)",
    )
    add(
        "--find-capacity",
        choices=MIXES,
        metavar="MIX",
        help="raise the rate, from --rate on, until a threshold breaks; print the last that held",
    )
    add(
        "--step",
        type=_duration,
        default=10.0,
        metavar="TIME",
        help="of --find-capacity, for each rate (default: 10s)",
    )
    add("--yes", action="store_true", help="load what is not this machine without asking")


def _add_thresholds(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("thresholds").add_argument
    for name in ("p50", "p95", "p99"):
        add(
            f"--{name}",
            action="append",
            type=_milliseconds_of,
            metavar="[CALL=]TIME",
            help=f"the most that {name} may be, of all requests together or of one call: 50ms,"
            " refresh=30ms; may be repeated",
        )
    add(
        "--errors",
        type=_errors,
        default=(0.0, False),
        metavar="N[%]",
        help="the most errors, or their share (default: 0)",
    )
    add(
        "--memory-change",
        type=_percent,
        metavar="N%",
        help="the most by which the memory of each --watch-pid, its Redis apart, may differ:"
        " last third against first third",
    )
    add(
        "--late",
        type=_duration,
        default=0.02,
        metavar="TIME",
        help="the most that the p99 of the generator's own delay may be (default: 20ms)",
    )


def _add_results(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("results").add_argument
    add("--html", type=Path, metavar="FILE", help="a report with charts, in one file")
    add("--json", type=Path, metavar="FILE", help="all figures")
    add(
        "--watch-pid",
        type=_count,
        action="append",
        metavar="PID",
        help="memory and CPU of this process and its children on this machine; may be repeated",
    )


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= 100_000:
        raise argparse.ArgumentTypeError("must be a number of arrivals a second")
    return rate


def _duration(text: str) -> float:
    if (found := _seconds(text)) > 0:
        return found
    raise argparse.ArgumentTypeError("must be longer than nothing")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number from 1")
    return int(text)


def _seconds(text: str) -> float:
    """A time such as `50ms`, `90`, `1.5s` or `15m`, for argparse."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time like 50ms, 90s or 15m")
    return float(found[1]) * _UNITS[found[2]]


def _milliseconds_of(text: str) -> tuple[str, float]:
    """`50ms`, or `refresh=30ms` for one call."""
    call, equals, time = text.rpartition("=")
    if equals and not call:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 50ms or refresh=30ms")
    return call or "all", _seconds(time) * 1000


def _percent(text: str) -> float:
    """`2%` or `2`."""
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is no percentage like 2%")
    return value


def _errors(text: str) -> tuple[float, bool]:
    """`0`, or `0.1%` of the requests."""
    if text.endswith("%"):
        return _percent(text), True
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor a percentage")
    return float(text), False


if __name__ == "__main__":
    parser().parse_args()
