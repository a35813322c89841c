"""Tries of the PIN of an HSM, which locks after a few wrong ones: one for each process tree.

A PIN that was refused is not tried again before a restart, by nobody who shares this start: the
processes of one service take turns, and note a refusal in a file of the start's own.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from service.errors import StartupError

SHARED = "OPENSHOW_PIN_REFUSED"
"""The environment variable by which a parent names that file to its workers."""


class PinTries:
    """Decides whether the PIN may be tried. Nothing of the PIN is kept."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        shared = environ.get(SHARED)
        self._file = Path(shared) if shared else None
        self._refused = ""

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let one process at a time try the PIN, within the block.

        Raises:
            StartupError: it was refused before, here or by a sibling.
        """
        self._check()
        if self._file is None:
            yield
            return
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._refused = os.pread(descriptor, 1000, 0).decode()
            self._check()
            try:
                yield
            finally:
                if self._refused:
                    os.pwrite(descriptor, self._refused.encode(), 0)
        finally:
            os.close(descriptor)

    def refuse(self, why: str) -> None:
        """Note, within a `turn`, that the PIN was refused and is not to be tried again."""
        self._refused = why

    def _check(self) -> None:
        if self._refused:
            raise StartupError(self._refused)
