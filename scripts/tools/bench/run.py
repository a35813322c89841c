"""All parts of the benchmark, one after the other."""

import argparse
import os
import platform
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from tools.bench import (
    flood,
    growth,
    guard,
    hostile,
    logout_storm,
    memory,
    propagation,
    sealing,
    speed,
    topologies,
    workers,
)
from tools.bench.calls import BY_NAME
from tools.bench.processes import embedded
from tools.bench.results import Found, Report
from tools.report.progress import StatusLine

_PARTS: dict[str, Callable[[argparse.Namespace, StatusLine], Awaitable[Found]]] = {
    "connections": speed.connections,
    "growth": growth.measure,
    "workers": workers.measure,
    "flood": flood.measure,
    "storm": logout_storm.measure,
    "hostile": hostile.measure,
    "topologies": topologies.measure,
    "guard": guard.measure,
    "propagation": propagation.measure,
    "seal": sealing.measure,
    "memory": memory.measure,
}


async def measure(told: argparse.Namespace, old: Report | None) -> Report:
    """Measure the parts that are asked for. What else an `old` report has is kept."""
    tell = StatusLine(logged=True)
    with TemporaryDirectory() as name, embedded(told.redis)(Path(name)) as redis:
        server = redis.version
    now = datetime.now(UTC).isoformat(timespec="seconds")
    report = Report(now, _machine(), _software(), server)
    if old is not None:
        report = msgspec.structs.replace(report, rows=old.rows, notes=old.notes)
    if told.parts & set(BY_NAME):
        report = report.updated(await speed.calls(told, tell))
    for name, part in _PARTS.items():
        if name in told.parts:
            report = report.updated(await part(told, tell))
    tell.end()
    return report


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
