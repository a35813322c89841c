"""`--help` of the scripts that people meet first: at once, and without anything installed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes.program import REPOSITORY


@pytest.mark.parametrize("name", ["chaos", "load"])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_needs_no_environment(tmp_path: Path, name: str, flag: str) -> None:
    """In a checkout without `.venv` it is printed, and no `.venv` is made for it."""
    scripts = tmp_path / "scripts"
    leave_out = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "scripts", scripts, ignore=leave_out)
    done = subprocess.run(
        [scripts / name, flag], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: scripts/{name}")
    assert not (tmp_path / ".venv").exists()


def test_the_command_line_of_a_checkout(tmp_path: Path) -> None:
    """`.venv/bin/openshow-auth` is this checkout's, whatever other `service` is near."""
    checkout, elsewhere = tmp_path / "a user's checkout", tmp_path / "elsewhere"
    (checkout / ".venv/bin").mkdir(parents=True)
    (checkout / "service").symlink_to(REPOSITORY / "service")
    python = checkout / ".venv/bin/python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    elsewhere.mkdir()
    (elsewhere / "service.py").write_text("raise SystemExit(3)")
    make = f'root=$1; . "{REPOSITORY}/scripts/environment"; write_command'
    subprocess.run(["sh", "-euc", make, "sh", checkout], check=True)
    done = subprocess.run(
        [checkout / ".venv/bin/openshow-auth", "keys", "--help"],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: openshow-auth keys")
