"""What `scripts/bench` does: measure, print, keep."""

import asyncio
import sys
from pathlib import Path

import msgspec

from service import logs
from service.errors import StartupError, StoreUnavailable
from tools.bench import options, run
from tools.bench.charts import CHARTS
from tools.bench.processes import BenchmarkError
from tools.bench.results import Report
from tools.bench.tables import refreshed, shown


def main() -> int:
    """Run as told and return the exit code."""
    told = options.parser().parse_args()
    logs.configure("error")  # the seeder's; the service logs into files of its own
    kept, old = _read(told.kept), _read(told.compare)
    told.parts = set(told.only or (() if kept else options.PARTS))
    try:
        report = asyncio.run(run.measure(told, kept)) if told.parts or not kept else kept
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
