"""Migrated, empty SQLite files: a copy of one takes a hundredth of what making it takes."""

import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkstemp
from threading import Lock
from urllib.parse import quote

from service.database.migration import migrate

_one_at_a_time = Lock()
"""Alembic has one context for all of a process, and fleets start in threads."""


def migrated() -> bytes:
    """Migrate a new file, once in this process, and return what is in it."""
    with _one_at_a_time:
        return _migrated()


@cache
def _migrated() -> bytes:
    with TemporaryDirectory() as directory:
        file = Path(directory, "service.db")
        migrate("sqlite:///" + quote(str(file)))
        return file.read_bytes()


def lay(file: Path) -> None:
    """Put one there, as the service itself would make it, unless there is a file by that name."""
    if file.exists():
        return
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, whole = mkstemp(dir=file.parent)  # for its owner alone
    with os.fdopen(descriptor, "wb") as copy:
        copy.write(migrated())
    with suppress(FileExistsError):  # another pod's, by now
        os.link(whole, file)
    os.unlink(whole)
