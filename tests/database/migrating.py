"""Processes that migrate: many at once, or one that dies on the way."""

import subprocess
import sys

import pytest
from alembic import command

from service.database import versions
from service.database.migration import migrate

# Says that it is ready, waits for the word, migrates.
RACER = """
import sys
from service.database.migration import migrate
print("ready", flush=True)
sys.stdin.readline()
migrate(sys.argv[1])
"""

# Dies in the middle of version 0001, with the first table made.
VICTIM = """
import os, signal, sys
from alembic import op
from service.database.migration import migrate
create_table = op.create_table
def dying_create_table(name, *columns):
    if name == "data_keys":
        os.kill(os.getpid(), signal.SIGKILL)
    create_table(name, *columns)
op.create_table = dying_create_table
migrate(sys.argv[1])
"""


def migrate_at_once(url: str, count: int) -> list[tuple[str, int]]:
    """What each of so many processes says on standard error, and its exit code."""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    return [(racer.communicate(timeout=60)[1], racer.returncode) for racer in racers]


def migrate_and_die(url: str) -> int:
    """The exit code of a process that is killed in the middle of version 0001."""
    return subprocess.run([sys.executable, "-c", VICTIM, url], check=False, timeout=60).returncode


def migrate_to(url: str, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the database as a program left it whose newest version was this one."""
    upgrade = command.upgrade
    with monkeypatch.context() as patch:
        patch.setattr(command, "upgrade", lambda config, _: upgrade(config, version))
        patch.setattr(versions, "oldest_program", lambda: version)
        migrate(url)
