"""Ports of test servers: two processes that choose at the same time never choose the same."""

import os
import subprocess
import sys

from tools.testbed.redis_server import REPOSITORY

CODE = """
import sys
from tools.testbed.ports import free_port
print(*(free_port() for _ in range(600)), flush=True)
sys.stdin.read()
"""


def test_no_port_is_given_twice() -> None:
    """Not by one process, nor by several that choose between each other's choice and use."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CODE],
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY / "scripts")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    chosen = [int(port) for p in processes for port in p.stdout.readline().split()]  # type: ignore[union-attr]
    for process in processes:
        process.communicate()
    assert len(chosen) == 3 * 600
    assert len(set(chosen)) == len(chosen)
