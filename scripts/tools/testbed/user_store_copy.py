"""Copies of a user store that is in use, and putting it back to one."""

import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

from tools.testbed.postgresql import find_binaries

_PATIENCE = 30.0
"""Seconds for a restore that others keep from its locks."""


class SqliteCopy:
    """The latest copy of a SQLite file, by SQLite's backup API."""

    def __init__(self, live: Path, copy: Path) -> None:
        self._live = live
        self._copy = copy

    def take(self) -> None:
        """Copy it as it is at some moment of the call."""
        _back_up(self._live, self._copy)

    def put_back(self) -> None:
        """Have it as it was then, at once for all who use it."""
        _back_up(self._copy, self._live)


class PostgresCopy:
    """The latest copy of a database, by pg_dump, and by pg_restore in one transaction."""

    def __init__(self, url: str, copy: Path) -> None:
        self._url = url
        self._copy = copy

    def take(self) -> None:
        _run("pg_dump", "-Fc", "-f", str(self._copy), self._url)

    def put_back(self) -> None:
        until = time.monotonic() + _PATIENCE
        command = "pg_restore", "--clean", "--single-transaction", "-d", self._url, str(self._copy)
        while True:
            try:
                return _run(*command)
            except subprocess.CalledProcessError:  # in a deadlock with those who use it
                if time.monotonic() > until:
                    raise


UserStoreCopy = SqliteCopy | PostgresCopy


def _back_up(source: Path, target: Path) -> None:
    with (
        closing(sqlite3.connect(source, timeout=_PATIENCE)) as one,
        closing(sqlite3.connect(target, timeout=_PATIENCE)) as other,
    ):
        one.backup(other, sleep=0.01)


def _run(program: str, *arguments: str) -> None:
    subprocess.run(
        [find_binaries() / program, *arguments], check=True, capture_output=True, timeout=_PATIENCE
    )
