"""The identity of a file, which tells it from another one of the same name."""

from contextlib import suppress
from pathlib import Path

FileIdentity = tuple[int, int]


def identity_of(file: Path) -> FileIdentity | None:
    """Return device and inode, which tell this file from another of its name; None: no file."""
    with suppress(FileNotFoundError):
        found = file.stat()
        return found.st_dev, found.st_ino
    return None
