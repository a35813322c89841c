"""What `scripts/bench` can be told."""

from pathlib import Path

from tools.bench.calls import CALLS
from tools.bench.parts import PARTS
from tools.report import arguments
from tools.report.arguments import Parser, count, seconds

_DESCRIPTION = """\
What calls cost: CPU, round trips, latency and memory, on servers started for it.

Starts the embedded Valkey on redis.conf (an fsync for every write), the service with one worker,
and the floors: an empty Litestar handler that decodes the body of a logout and answers 204, on the
same server with the same settings; the same with an EVALSHA of an empty script; and, without HTTP,
a bare EVALSHA and a bare check of a JWT. Sends each call in a closed loop over keep-alive
connections, in turn with the floor, in rounds of fresh processes. Sessions come from the service's
own code, not over HTTP. Nothing is left behind, and nothing but this machine's loopback is used.

What can be measured, each by itself:

"""

_EPILOG = """\
Read the ratios: they hold on a busy machine, microseconds and requests per second do not. Worker,
Redis and client share the cores, so the rate is not what a worker does on a machine of its own.
The data lies in a temporary directory; TMPDIR names another disk, which matters to the fsyncs.

  scripts/bench                                      everything, twenty minutes or so
  scripts/bench --only logout --rounds 9             one call, more exactly
  scripts/bench --json now.json --compare old.json   what a change has brought
  scripts/bench --only memory --redis /usr/bin/redis-server

The page of the figures, all of it, or one part anew, or just written anew from what is kept:

  scripts/bench --json F --page docs/performance.md --charts docs     F: docs/performance.json
  scripts/bench --from F --only growth --json F --page docs/performance.md --charts docs
  scripts/bench --from F --page docs/performance.md --charts docs
"""

_AMOUNTS = (
    ("--connections", 32, "at once"),
    ("--requests", 100, "on each connection in a round"),
    ("--rounds", 5, "of fresh processes"),
    ("--sessions", 20_000, "for the memory of one"),
    ("--people", 1_000_000, "that ask a worker, for its memory"),
    ("--sessions-most", 1_000_000, "for growth and propagation, in the largest store"),
    ("--user-sessions", 10_000, "of a user whose sessions are all ended"),
    ("--revocations", 1_000_000, "in a guard"),
    ("--storm-connections", 64, "of a flood or a storm, and a sixteenth of a hostile crowd"),
    ("--storm-rounds", 3, "of flood, storm and hostile crowds"),
    ("--seconds", 6, "that each of them lasts"),
    ("--logouts", 1000, "that app pods are to see"),
    ("--waits", 300, "logouts that wait for guards"),
    ("--cut-offs", 200, "of everybody, that they are to see"),
)

NAMES = (*(call.name for call in CALLS), *(part.name for part in PARTS))
"""Of all that can be measured."""


def parser() -> Parser:
    """Make the command line's parser."""
    usage = "scripts/bench [--only PART ...] [options]"
    names = "".join(f"  {part.name:13} {part.about}\n" for part in PARTS)
    calls = f"  {' '.join(call.name for call in CALLS)}\n{'':16}calls, and the floors beside them\n"
    made = arguments.parser("bench", _DESCRIPTION + calls + names, _EPILOG, usage)
    option = made.option
    option("--only", str, "PART", "what to measure (default: all)", nargs="+", choices=NAMES)
    for name, default, what in _AMOUNTS:
        kind = seconds if name == "--seconds" else count
        option(name, kind, "N", f"{what} (default: {default:,})", default)
    option("--redis", Path, "PROGRAM", "another server than the embedded Valkey")
    what = "begin with these figures, and measure only what --only names, or nothing"
    option("--from", Path, "OLD.json", what, dest="kept")
    option("--json", Path, "FILE", "keep all figures in FILE")
    option("--compare", Path, "OLD.json", "show what has changed")
    option("--page", Path, "FILE.md", "put the tables into this page")
    option("--charts", Path, "DIRECTORY", "draw performance*.svg in there")
    return made
