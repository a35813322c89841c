"""What `events verify` takes for a file."""

import os
from pathlib import Path

import pytest

from service.cli.sink_commands import lines_of
from service.errors import StartupError


def test_only_files_and_pipes_are_read(tmp_path: Path) -> None:
    """A device may never end; nor does a pipe that nobody writes to."""
    for name in ("/dev/zero", "/dev/full", "/proc/self/mem", str(tmp_path), "/nowhere"):
        with pytest.raises(StartupError, match=f"^{name}: .*; name files that SERVICE_SINK_FILE"):
            lines_of(Path(name))
    os.mkfifo(tmp_path / "pipe")
    assert lines_of(tmp_path / "pipe") == []
    reading, writing = os.pipe()
    os.write(writing, b"a\nb\n")
    os.close(writing)
    assert lines_of(Path(f"/dev/fd/{reading}")) == [b"a", b"b"]
    os.close(reading)
