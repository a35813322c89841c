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
from typing import Any

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
from tools.bench.calls import CALLS
from tools.bench.report import Report
from tools.bench.speed import Pace
from tools.bench.steps import Steps

_CALL_NAMES = {call.name for call in CALLS}

Found = dict[str, Any]
"""Fields of a report."""


async def measure(options: argparse.Namespace, parts: set[str], old: Report | None) -> Report:
    """Measure these parts. What else an `old` report has is kept."""
    steps, found = Steps(), Found()
    if parts & _CALL_NAMES:
        found |= await _calls(options, parts, steps)
    for name, part in _PARTS.items():
        if name in parts:
            found |= await part(options, steps)
    steps.end()
    return _begun(options, old).updated(found)


def _begun(options: argparse.Namespace, old: Report | None) -> Report:
    with TemporaryDirectory() as name, processes.redis_server(Path(name), options.redis) as redis:
        server = redis.version
    about = {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": _machine(),
        "software": _software(),
        "redis": server,
        "connections": options.connections,
        "requests": options.requests,
        "rounds": options.rounds,
    }
    return old.updated(about) if old else Report(**about)


def _pace(options: argparse.Namespace) -> Pace:
    return Pace(options.connections, options.requests, options.rounds)


async def _calls(options: argparse.Namespace, parts: set[str], tell: Steps) -> Found:
    calls = [call for call in CALLS if call.name in parts]
    pace = _pace(options)
    with TemporaryDirectory() as name, processes.redis_server(Path(name), options.redis) as redis:
        floor, rows = await speed.measure(Path(name), redis, calls, pace, tell)
        alone = bare.measure(redis, pace.connections, pace.requests, pace.rounds, tell)
    return {"floor": floor, "rows": rows, "bare": alone}


async def _connections(options: argparse.Namespace, tell: Steps) -> Found:
    return {"crowds": await connections.measure(options.redis, _pace(options), tell)}


async def _growth(options: argparse.Namespace, tell: Steps) -> Found:
    most = options.sessions_most
    return {"growth": await growth.measure(options.redis, _pace(options), most, tell)}


async def _workers(options: argparse.Namespace, tell: Steps) -> Found:
    return {"workers": await workers.measure(options.redis, _pace(options), tell)}


async def _flood(options: argparse.Namespace, tell: Steps) -> Found:
    plan = flood.Plan(options.storm_connections, options.seconds, options.storm_rounds)
    return {"flood": await flood.measure(options.redis, plan, tell)}


async def _storm(options: argparse.Namespace, tell: Steps) -> Found:
    plan = logout_storm.Plan(options.storm_connections, options.seconds, options.storm_rounds)
    return {"storm": await logout_storm.measure(options.redis, plan, tell)}


async def _topologies(options: argparse.Namespace, tell: Steps) -> Found:
    return {"topologies": await topologies.measure(_pace(options), tell)}


async def _guard(options: argparse.Namespace, tell: Steps) -> Found:
    return {"guard": await guard.measure(options.revocations, tell)}


async def _propagation(options: argparse.Namespace, tell: Steps) -> Found:
    return {"propagation": await propagation.measure(options.logouts, tell)}


async def _seal(options: argparse.Namespace, tell: Steps) -> Found:
    tell("sealing TOTP secrets")
    return {"sealing": sealing.measure()}


async def _memory(options: argparse.Namespace, tell: Steps) -> Found:
    found = []
    for binary in _servers(options.redis):
        tell(f"memory of {options.sessions} sessions in {binary or 'the embedded Valkey'}")
        found.append(await memory.measure(binary, options.sessions))
    return {"memory": found}


_PARTS: dict[str, Callable[[argparse.Namespace, Steps], Awaitable[Found]]] = {
    "connections": _connections,
    "growth": _growth,
    "workers": _workers,
    "flood": _flood,
    "storm": _storm,
    "topologies": _topologies,
    "guard": _guard,
    "propagation": _propagation,
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
