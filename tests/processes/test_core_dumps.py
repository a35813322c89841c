"""What is in memory stays there: no core file, and nobody of the same user who reads it."""

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tools.testbed.redis_server import REPOSITORY

from tests.processes.program import Program, wait_until
from tests.processes.test_template import template_of
from tests.processes.test_workers import workers_of

TELLING = """
import ctypes, os, threading, time

def tell():
    while True:
        whether = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)  # PR_GET_DUMPABLE
        with open(os.path.join(os.environ["DUMPABLE"], str(os.getpid())), "w") as file:
            file.write(str(whether))
        time.sleep(0.05)

def begin():
    threading.Thread(target=tell, daemon=True).start()

begin()
os.register_at_fork(after_in_child=begin)
"""
"""A module that Python imports in each of the program's processes, before anything else."""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the call")
def test_parent_and_workers_keep_their_memory(
    start: Callable[..., Program], tmp_path: Path
) -> None:
    """No core file for any of them, and the kernel lets nobody else of their user read it."""
    site, told = tmp_path / "site", tmp_path / "told"
    site.mkdir()
    told.mkdir()
    (site / "sitecustomize.py").write_text(TELLING)
    program = start(SERVICE_WORKERS="2", PYTHONPATH=f"{site}:{REPOSITORY}", DUMPABLE=str(told))
    program.wait_for(r"serves on (http://\S+)")
    for pid in (program.pid, template_of(program), *workers_of(program)):
        limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
        (core,) = [line.split() for line in limits if line.startswith("Max core file size")]
        assert core[4:6] == ["0", "0"]
        wait_until(lambda pid=pid: (told / str(pid)).read_text() == "0", f"{pid} is protected")
    assert len(list(told.iterdir())) >= 4  # parent, template, two workers


def test_commands_have_no_core_file_either(tmp_path: Path) -> None:
    """`keys` opens the same keys: the limit holds before a command does anything."""
    code = (
        "import resource, sys\n"
        "from service.cli import program\n"
        "program._parser = lambda: sys.exit(str(resource.getrlimit(resource.RLIMIT_CORE)))\n"
        "program.main(['keys', 'status'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2
        ),
    )
    assert done.stderr.strip() == "(0, 0)"
