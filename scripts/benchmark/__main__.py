"""`scripts/bench`: measure, print, keep."""

import argparse
import asyncio
import os
import platform
import shutil
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from benchmark import (
    flood,
    guard,
    memory,
    processes,
    propagation,
    sealing,
    speed,
    topologies,
    workers,
)
from benchmark.calls import CALLS
from benchmark.chart import chart
from benchmark.figures import Memory, Report
from benchmark.table import table
from service import logs
from service.errors import StartupError

_DESCRIPTION = """\
What calls cost: CPU, round trips, latency and memory, on servers started for it.

Starts the embedded Valkey on redis.conf (an fsync for every write), the service with one worker,
and a floor: an empty Litestar app that decodes the body of a logout and answers 204, on the same
server with the same settings. Sends each call in a closed loop over keep-alive connections, in turn
with the floor, in rounds of fresh processes. Sessions come from the service's own code, not over
HTTP. Then a flood of logins, with refreshes and logouts beside it. Nothing is left behind, and
nothing but this machine's loopback is used.
"""

_EPILOG = """\
Read the ratios: they hold on a busy machine, microseconds and requests per second do not. Worker,
Redis and client share the cores, so the rate is not what a worker does on a machine of its own.
The data lies in a temporary directory; TMPDIR names another disk, which matters to the fsyncs.

  scripts/bench                                      everything, two minutes or so
  scripts/bench --only logout --rounds 9             one call, more exactly
  scripts/bench --json now.json --compare old.json   what a change has brought
  scripts/bench --only memory --redis /usr/bin/redis-server
"""


def main() -> int:
    """Run as told and return the exit code."""
    options = _parser().parse_args()
    logs.configure("error")  # the seeder's; the service logs into files of its own
    old = (
        msgspec.json.decode(options.compare.read_bytes(), type=Report) if options.compare else None
    )
    try:
        report = asyncio.run(_measure(options))
    except (processes.BenchmarkError, StartupError) as error:
        print(f"scripts/bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(table(report, old))
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    if options.chart:
        options.chart.write_text(chart(report), encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [call.name for call in CALLS]
    names += ["seal", "guard", "propagation", "flood", "topologies", "workers", "memory"]
    parser.add_argument("--connections", type=_count, default=32, help="at once (default: 32)")
    parser.add_argument(
        "--requests", type=_count, default=100, help="on each connection in a round (default: 100)"
    )
    parser.add_argument("--rounds", type=_count, default=5, help="of fresh processes (default: 5)")
    parser.add_argument(
        "--sessions", type=_count, default=20_000, help="for the memory of one (default: 20000)"
    )
    parser.add_argument(
        "--revocations", type=_count, default=1_000_000, help="in a guard (default: 1000000)"
    )
    parser.add_argument(
        "--logins", type=_count, default=64, help="connections of the flood (default: 64)"
    )
    parser.add_argument(
        "--logouts", type=_count, default=1000, help="that app pods are to see (default: 1000)"
    )
    parser.add_argument(
        "--seconds", type=_count, default=6, help="that the flood lasts (default: 6)"
    )
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, help="what to measure (default: all)"
    )
    parser.add_argument(
        "--redis", type=Path, help="another server program than the embedded Valkey's"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all figures in FILE")
    parser.add_argument("--compare", type=Path, metavar="OLD.json", help="show what has changed")
    parser.add_argument("--chart", type=Path, metavar="FILE.svg", help="draw the figures")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number from 1")
    return int(text)


async def _measure(options: argparse.Namespace) -> Report:
    calls = [call for call in CALLS if call.name in options.only]
    pace = speed.Pace(options.connections, options.requests, options.rounds)
    tell = _Progress()
    with TemporaryDirectory() as name:
        directory = Path(name)
        with processes.redis_server(directory, options.redis) as redis:
            floor, rows = await speed.measure(directory, redis, calls, pace, tell)
            server = redis.version
    memories: list[Memory] = []
    if "memory" in options.only:
        for binary in _servers(options.redis):
            tell(f"memory of {options.sessions} sessions in {binary or 'the embedded Valkey'}")
            memories.append(await memory.measure(binary, options.sessions))
    plan = flood.Plan(options.logins, options.seconds)
    flooded = await flood.measure(options.redis, plan, tell) if "flood" in options.only else None
    several = await topologies.measure(pace, tell) if "topologies" in options.only else ()
    both = await workers.measure(options.redis, pace, tell) if "workers" in options.only else None
    seen = (
        await propagation.measure(options.logouts, tell) if "propagation" in options.only else None
    )
    sealed = sealing.measure() if "seal" in options.only else None
    guarded = await guard.measure(options.revocations, tell) if "guard" in options.only else None
    tell.end()
    return Report(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=_machine(),
        software=_software(),
        redis=server,
        connections=pace.connections,
        requests=pace.requests,
        rounds=pace.rounds,
        floor=floor,
        rows=rows,
        memory=memories,
        sealing=sealed,
        guard=guarded,
        flood=flooded,
        topologies=several,
        propagation=seen,
        workers=both,
    )


def _servers(named: Path | None) -> list[Path | None]:
    """Whose memory is measured: the embedded Valkey's, and a Redis where one is installed."""
    installed = shutil.which("redis-server")
    return [named] if named else [None, *([Path(installed)] if installed else [])]


class _Progress:
    """One line on stderr that is written over; where nobody watches, a line for each step."""

    def __call__(self, step: str) -> None:
        end = "" if sys.stderr.isatty() else "\n"
        start = "\r\033[K" if sys.stderr.isatty() else ""
        print(start + step, end=end, file=sys.stderr, flush=True)

    def end(self) -> None:
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        model = next((line.partition(": ")[2] for line in lines if "model name" in line), model)
    return f"{os.cpu_count()} × {model}"


def _software() -> str:
    packages = ("litestar", "uvicorn", "uvloop", "httptools")
    versions = (f"{package} {version(package)}" for package in packages)
    return ", ".join((f"Python {platform.python_version()}", *versions))


if __name__ == "__main__":  # the client's process imports this module again
    sys.exit(main())
