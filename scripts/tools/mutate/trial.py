"""Running tests on a copy of the repository in which one thing is changed."""

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from multiprocessing import Pipe
from pathlib import Path
from typing import Literal

from tools.mutate.mutants import Mutant
from tools.mutate.serving import ORDERS, Order, Report

Outcome = Literal["killed", "survived", "hung"]

_FIRST_TESTS = 40
_LEFT_OUT = shutil.ignore_patterns(".venv", ".git", "var", "__pycache__", ".*_cache", "dist")
_COLLECTING = 600.0
"""Seconds in which a process has to import and collect."""


class Workspace:
    """A copy of the repository, for one mutant at a time."""

    def __init__(self, root: Path, directory: Path, noticed: Counter[str]) -> None:
        """`noticed`: how often which test has noticed something; shared by all workspaces."""
        self._directory = directory
        self._copy = directory / "copy"
        self._noticed = noticed
        self._collected: tuple[tuple[str, ...], Collected] | None = None
        shutil.copytree(root, self._copy, ignore=_LEFT_OUT)

    def close(self) -> None:
        """End the process that has collected tests."""
        if self._collected is not None:
            self._collected[1].close()
            self._collected = None

    def baseline(self, tests: tuple[str, ...]) -> float:
        """Run the tests without a change. How long they took, in seconds.

        Raises:
            RuntimeError: they fail; then nothing could be said of mutants.
        """
        collected = self._of(tests)
        began = time.monotonic()
        report = collected.run(Order("", "", "", (), 1200))
        if report.verdict != "survived":
            raise RuntimeError(
                f"the tests fail without a mutant: {report.failed}\n{collected.output()[-3000:]}"
            )
        return time.monotonic() - began

    def judge(self, mutant: Mutant, tests: tuple[str, ...], patience: float) -> Outcome:
        """Run the tests on a mutant. `hung`: they did not end within `patience` seconds.

        In a fork of a process that has the original; where that says nothing, or that a mutant has
        survived of what runs at import, in one of a process that has imported the mutant.
        """
        collected, path = self._of(tests), self._copy / mutant.path
        original = path.read_text(encoding="utf-8")
        self._write(path, mutant.source)
        first = tuple(test for test, _ in self._noticed.most_common(_FIRST_TESTS))
        try:
            report = collected.run(Order(str(path), original, mutant.source, first, patience))
            verdict = report.verdict
            if verdict == "unpatched" or report.unsure:
                report = self._run_anew(tests, Order("", "", "", first, patience))
        finally:
            self._write(path, original)
        self._noticed.update(report.failed)
        assert report.verdict != "unpatched"  # noqa: S101  nothing was to be patched
        return report.verdict

    def _of(self, tests: tuple[str, ...]) -> "Collected":
        if self._collected is None or self._collected[0] != tests:
            self.close()
            self._collected = tests, Collected(self._directory, "kept", tests)
        return self._collected[1]

    def _write(self, path: Path, source: str) -> None:
        path.write_text(source, encoding="utf-8")
        if path.suffix == ".py":  # two versions of one second and size would be taken for one
            compiled = f"{path.stem}.{sys.implementation.cache_tag}.pyc"
            cached = self._directory / "pyc" / str(path.parent).lstrip("/") / compiled
            cached.unlink(missing_ok=True)

    def _run_anew(self, tests: tuple[str, ...], order: Order) -> Report:
        try:
            anew = Collected(self._directory, "anew", tests)
        except RuntimeError:
            return Report("killed")
        except TimeoutError:
            return Report("hung")
        try:
            return anew.run(order)
        finally:
            anew.close()


class Collected:
    """A process that has collected tests, and runs them in forks of itself (serving.py)."""

    def __init__(self, directory: Path, name: str, tests: tuple[str, ...]) -> None:
        """Collect `tests` of the copy in `directory`, where what is left behind goes by `name`.

        Raises:
            RuntimeError: they cannot be collected.
            TimeoutError: not in time.
        """
        copy, temporary = directory / "copy", directory / f"{name}-tmp"
        self._output = directory / f"{name}-output"
        self._orders, theirs = Pipe()
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        with self._output.open("wb") as output, theirs:
            self._process = subprocess.Popen(
                [*command, "-p", "tools.mutate.selection", f"--basetemp={temporary}", *tests],
                cwd=copy,
                env=os.environ
                | {
                    "PYTHONPATH": os.pathsep.join((str(copy), str(copy / "scripts"))),
                    "PYTHONPYCACHEPREFIX": str(directory / "pyc"),
                    ORDERS: f"{theirs.fileno()}",
                },
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
            )
        if not self._orders.poll(_COLLECTING):
            self._process.kill()
            self.close()
            raise TimeoutError
        try:
            self._orders.recv()
        except EOFError:
            self.close()
            said = self.output()[-3000:]
            raise RuntimeError(f"the tests cannot be collected:\n{said}") from None

    def output(self) -> str:
        """Read what the tests have written."""
        return self._output.read_text(encoding="utf-8", errors="replace")

    def run(self, order: Order) -> Report:
        """Run the tests once."""
        self._orders.send(order)
        report: Report = self._orders.recv()
        return report

    def close(self) -> None:
        """Have it end."""
        self._orders.close()
        self._process.wait()
