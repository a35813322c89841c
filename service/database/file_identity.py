"""What tells a file from another one that has its name."""

from contextlib import suppress
from pathlib import Path

FileIdentity = tuple[int, int]


def identity_of(file: Path) -> FileIdentity | None:
    """What tells this file from another of the same name; None when there is none."""
    with suppress(FileNotFoundError):
        found = file.stat()
        return found.st_dev, found.st_ino
    return None
