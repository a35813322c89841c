"""Running tests on a copy of the repository in which one thing is changed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Literal

from tools.mutate.mutant import Mutant
from tools.mutate.selection import FIRST

Outcome = Literal["killed", "survived", "hung"]

_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S.*?)(?: - .*)?$", re.MULTILINE)
_FIRST_TESTS = 40
_LEFT_OUT = shutil.ignore_patterns(".venv", ".git", "var", "__pycache__", ".*_cache", "dist")


class Workspace:
    """A copy of the repository, for one mutant at a time."""

    def __init__(self, root: Path, directory: Path, noticed: Counter[str]) -> None:
        """`noticed`: how often which test has noticed something; shared by all workspaces."""
        self._copy = directory / "copy"
        self._first = directory / "first"
        self._noticed = noticed
        shutil.copytree(root, self._copy, ignore=_LEFT_OUT)

    def baseline(self, tests: tuple[str, ...]) -> float:
        """Run the tests without a change. How long they took, in seconds.

        Raises:
            RuntimeError: they fail; then nothing could be said of mutants.
        """
        began = time.monotonic()
        code, output = self._run(tests, 1200)
        if code != 0:
            raise RuntimeError(f"the tests fail without a mutant:\n{output[-3000:]}")
        return time.monotonic() - began

    def judge(self, mutant: Mutant, tests: tuple[str, ...], patience: float) -> Outcome:
        """Run the tests on a mutant. `hung`: they did not end within `patience` seconds."""
        path = self._copy / mutant.path
        original = path.read_bytes()
        path.write_text(mutant.source, encoding="utf-8")
        try:
            code, output = self._run(tests, patience)
        finally:
            path.write_bytes(original)
        self._noticed.update(_FAILED.findall(output))
        if code is None:
            return "hung"
        return "survived" if code == 0 else "killed"

    def _run(self, tests: tuple[str, ...], patience: float) -> tuple[int | None, str]:
        first = [test for test, _ in self._noticed.most_common(_FIRST_TESTS)]
        self._first.write_text("\n".join(first), encoding="utf-8")
        environment = os.environ | {
            FIRST: str(self._first),
            "PYTHONPATH": os.pathsep.join((str(self._copy), str(self._copy / "scripts"))),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        command += ["-p", "tools.mutate.selection", *tests]
        with subprocess.Popen(
            command,
            cwd=self._copy,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            try:
                output, _ = process.communicate(timeout=patience)
            except subprocess.TimeoutExpired:
                os.killpg(
                    process.pid, signal.SIGKILL
                )  # the servers that the tests have started, too
                output, _ = process.communicate()
                return None, output.decode(errors="replace")
            return process.returncode, output.decode(errors="replace")
