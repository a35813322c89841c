"""The command line: nothing but Python, so that --help comes before anything is installed."""

import argparse
import re
from pathlib import Path

from tools.load.mixes import MIXES
from tools.report import arguments
from tools.report.arguments import Parser, count

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


def parser() -> Parser:
    """Make the command line's parser."""
    mixes = "".join(
        f"  {mix.name:13} {mix.about}:\n{'':16}{mix.words()}\n" for mix in MIXES.values()
    )
    made = arguments.parser("load", f"{_DESCRIPTION}\nMixes:\n{mixes}", _EPILOG)
    made.add_argument("mix", nargs="?", choices=MIXES, metavar="MIX", help="one of the above")
    _add_load(made)
    _add_thresholds(made)
    made.heading("results")
    made.option("--html", Path, "FILE", "a report with charts, in one file")
    made.option("--json", Path, "FILE", "all figures")
    what = "memory and CPU of this process and its children on this machine; may be repeated"
    made.option("--watch-pid", count, "PID", what, action="append")
    return made


def _add_load(made: Parser) -> None:
    made.heading("the load")
    option = made.option
    option("--host", str, "URL", "default: %(default)s", "http://127.0.0.1:8000")
    option("--rate", _rate, None, "arrivals a second (default: 50)", 50.0)
    option("--warm-up", _seconds, "TIME", "not counted (default: 5s)", 5.0)
    option("--duration", _duration, "TIME", "counted (default: 60s)", 60.0)
    made.flag("--even", "evenly spaced arrivals; else at random (Poisson)")
    what = (
        "people, of scripts/seed --export FILE;"
        " FILE.used remembers how far it was read, so that no token is used twice"
    )
    option("--tokens", Path, "FILE", what)
    what = (
        "there at once (default: 1000 with --tokens,"
        " else 100, who sign up, each at the cost of a password hash)"
    )
    option("--people", count, "N", what)
    option("--timeout", _duration, "TIME", "for an answer (default: 10s)", 10.0)
    what = "raise the rate, from --rate on, until a threshold breaks; print the last that held"
    option("--find-capacity", str, "MIX", what, choices=MIXES)
    option("--step", _duration, "TIME", "of --find-capacity, for each rate (default: 10s)", 10.0)
    made.flag("--yes", "load what is not this machine without asking")


def _add_thresholds(made: Parser) -> None:
    made.heading("thresholds")
    for name in ("p50", "p95", "p99"):
        what = (
            f"the most that {name} may be, of all requests together or of one call: 50ms,"
            " refresh=30ms; may be repeated"
        )
        made.option(f"--{name}", _milliseconds_of, "[CALL=]TIME", what, action="append")
    what = "the most errors, or their share (default: 0)"
    made.option("--errors", _errors, "N[%]", what, (0.0, False))
    what = (
        "the most by which the memory of each --watch-pid, its Redis apart, may differ:"
        " last third against first third"
    )
    made.option("--memory-change", _percent, "N%", what)
    what = "the most that the p99 of the generator's own delay may be (default: 20ms)"
    made.option("--late", _duration, "TIME", what, 0.02)


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


def _seconds(text: str) -> float:
    """Read a time such as `50ms`, `90`, `1.5s` or `15m`, for argparse."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time like 50ms, 90s or 15m")
    return float(found[1]) * _UNITS[found[2]]


def _milliseconds_of(text: str) -> tuple[str, float]:
    """Read `50ms`, or `refresh=30ms` for one call."""
    call, equals, time = text.rpartition("=")
    if equals and not call:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 50ms or refresh=30ms")
    return call or "all", _seconds(time) * 1000


def _percent(text: str) -> float:
    """Read `2%` or `2`."""
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is no percentage like 2%")
    return value


def _errors(text: str) -> tuple[float, bool]:
    """Read `0`, or `0.1%` of the requests."""
    if text.endswith("%"):
        return _percent(text), True
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor a percentage")
    return float(text), False


if __name__ == "__main__":
    parser().parse_args()
