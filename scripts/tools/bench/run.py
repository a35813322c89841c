"""All parts of the benchmark, one after the other."""

import argparse
import os
import platform
import shutil
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from tools.bench import (
    bare,
    connections,
    flood,
    growth,
    guard,
    logout_storm,
    memory,
    processes,
    propagation,
    sealing,
    speed,
    topologies,
    workers,
)
from tools.bench.calls import BY_NAME, CALLS
from tools.bench.results import Found, Report
from tools.bench.speed import Pace
from tools.bench.steps import Steps

Part = Callable[[argparse.Namespace, Steps], Awaitable[Found]]


async def measure(options: argparse.Namespace, parts: set[str], old: Report | None) -> Report:
    """Measure these parts. What else an `old` report has is kept."""
    steps, report = Steps(), _begun(options, old)
    if parts & set(BY_NAME):
        report = report.updated(await _calls(options, parts, steps))
    for name, part in _PARTS.items():
        if name in parts:
            report = report.updated(await part(options, steps))
    steps.end()
    return report


def _begun(options: argparse.Namespace, old: Report | None) -> Report:
    with TemporaryDirectory() as name, processes.redis_server(Path(name), options.redis) as redis:
        server = redis.version
    now = datetime.now(UTC).isoformat(timespec="seconds")
    begun = Report(now, _machine(), _software(), server)
    if old is None:
        return begun
    return msgspec.structs.replace(begun, rows=old.rows, notes=old.notes)


def _pace(options: argparse.Namespace) -> Pace:
    return Pace(options.connections, options.requests, options.rounds)


async def _calls(options: argparse.Namespace, parts: set[str], tell: Steps) -> Found:
    calls = [call for call in CALLS if call.name in parts]
    pace = _pace(options)
    with TemporaryDirectory() as name, processes.redis_server(Path(name), options.redis) as redis:
        rows = await speed.measure(Path(name), redis, calls, pace, tell)
        rows += bare.measure(redis, pace.connections, pace.requests, pace.rounds, tell)
    note = (
        f"{pace.connections} connections, one worker, medians of {pace.rounds} rounds of "
        f"{pace.connections * pace.requests:,} requests, an fsync for every write."
    )
    return Found(rows, {"calls": note})


async def _flood(options: argparse.Namespace, tell: Steps) -> Found:
    plan = flood.Plan(options.storm_connections, options.seconds, options.storm_rounds)
    return await flood.measure(options.redis, plan, tell)


async def _storm(options: argparse.Namespace, tell: Steps) -> Found:
    plan = logout_storm.Plan(options.storm_connections, options.seconds, options.storm_rounds)
    return await logout_storm.measure(options.redis, plan, tell)


async def _seal(options: argparse.Namespace, tell: Steps) -> Found:
    tell("sealing TOTP secrets")
    return sealing.measure()


async def _memory(options: argparse.Namespace, tell: Steps) -> Found:
    found = Found([])
    for binary in _servers(options.redis):
        tell(f"memory of {options.sessions} sessions in {binary or 'the embedded Valkey'}")
        one = await memory.measure(binary, options.sessions)
        found = Found(found.rows + one.rows, one.notes)
    return found


_PARTS: dict[str, Part] = {
    "connections": lambda told, tell: connections.measure(told.redis, _pace(told), tell),
    "growth": lambda told, tell: growth.measure(told.redis, _pace(told), told.sessions_most, tell),
    "workers": lambda told, tell: workers.measure(told.redis, _pace(told), tell),
    "flood": _flood,
    "storm": _storm,
    "topologies": lambda told, tell: topologies.measure(_pace(told), tell),
    "guard": lambda told, tell: guard.measure(told.revocations, tell),
    "propagation": lambda told, tell: propagation.measure(told.logouts, tell),
    "seal": _seal,
    "memory": _memory,
}


def _servers(named: Path | None) -> list[Path | None]:
    """Whose memory is measured: the embedded Valkey's, and a Redis where one is installed."""
    installed = shutil.which("redis-server")
    return [named] if named else [None, *([Path(installed)] if installed else [])]


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
