"""Reads settings that are paths, and texts that lie in files."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_NOWHERE = (errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR)
_LONGEST_TEXT = 65_536
"""Bytes of a text in a file: a device that never ends is none."""


def path(text: str) -> Path:
    """Parse a path; where nothing can ever be, it is none."""
    if "\0" in text:
        raise ValueError("must be a path without NUL")
    try:
        text.encode()  # in the URL of SQLite, and in what is printed
        os.stat(text)
    except UnicodeEncodeError:
        raise ValueError("must be a path in UTF-8") from None
    except OSError as error:
        if error.errno in _NOWHERE:
            raise ValueError(f"must be another path: {error.strerror}") from None
    return Path(text)


def file_path(text: str) -> Path:
    """Parse the path of a file that is written."""
    found = path(text)
    if found.is_dir():
        raise ValueError("must be the path of a file, and is a directory")
    return found


def folder_path(text: str) -> Path:
    """Parse the path of a folder that is written into."""
    found = path(text)
    if not found.is_dir() and os.path.lexists(found):
        raise ValueError("must name a folder, and names something else")
    return found


@contextmanager
def open_file(name: str | Path) -> Iterator[BinaryIO]:
    """Open a file, or a pipe, to be read to its end: of one that nobody writes to that is at once.

    Raises:
        OSError: it cannot be read.
    """
    # O_NONBLOCK, or opening a pipe would wait for somebody who writes to it.
    descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        os.set_blocking(descriptor, True)
        yield file


def file_text(text: str) -> str:
    """Read the text in a file, without what is blank around it."""
    try:
        with open_file(text) as file:
            content = file.read(_LONGEST_TEXT + 1)
        if len(content) <= _LONGEST_TEXT:
            return content.decode().strip()
    except (OSError, UnicodeDecodeError):
        pass
    raise ValueError("must be the path of a readable text file") from None
