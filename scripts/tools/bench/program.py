"""What `scripts/bench` does: measure one part after the other, print, keep."""

import argparse
import asyncio
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from service import logs
from service.errors import StartupError, StoreUnavailable
from tools.bench import options, speed
from tools.bench.calls import CALLS
from tools.bench.charts import CHARTS
from tools.bench.parts import PARTS
from tools.bench.processes import BenchmarkError, embedded
from tools.bench.results import Report
from tools.bench.tables import refreshed, shown
from tools.report.progress import StatusLine


def main() -> int:
    """Run as told and return the exit code."""
    told = options.parser().parse_args()
    logs.configure("error")  # the seeder's; the service logs into files of its own
    kept, old = _read(told.kept), _read(told.compare)
    told.parts = set(told.only or (() if kept else options.NAMES))
    try:
        report = asyncio.run(measure(told, kept)) if told.parts or not kept else kept
    except (BenchmarkError, StartupError, StoreUnavailable) as error:
        print(f"scripts/bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(shown(report, old))
    if told.json:
        told.json.write_bytes(report.encoded())
    if told.page:
        page = told.page.read_text(encoding="utf-8")
        told.page.write_text(refreshed(page, report), encoding="utf-8")
    for name, chart in CHARTS.items() if told.charts else ():
        if drawing := chart(report):
            (told.charts / name).write_text(drawing, encoding="utf-8")
    return 0


def _read(file: Path | None) -> Report | None:
    return msgspec.json.decode(file.read_bytes(), type=Report) if file else None


async def measure(told: argparse.Namespace, old: Report | None) -> Report:
    """Measure the parts that are asked for. What else an `old` report has is kept."""
    tell = StatusLine(logged=True)
    with TemporaryDirectory() as name, embedded(told.redis)(Path(name)) as redis:
        server = redis.version
    now = datetime.now(UTC).isoformat(timespec="seconds")
    report = Report(now, _machine(), _software(), server)
    if old is not None:
        report = msgspec.structs.replace(report, rows=old.rows, notes=old.notes)
    if told.parts & {call.name for call in CALLS}:
        report = report.updated(await speed.calls(told, tell))
    for part in PARTS:
        if part.name in told.parts:
            report = report.updated(await part.measure(told, tell))
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
