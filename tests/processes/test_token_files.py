"""What `scripts/seed --export` and `scripts/load --tokens` take for a file."""

import os
from pathlib import Path

import pytest
from tools.load.target import UnusableError
from tools.load.tokens import TokenFile
from tools.seed.accounts import Refused
from tools.seed.export import Export


def test_nothing_but_a_file_is_exported_to(tmp_path: Path) -> None:
    """Whatever else it is keeps its mode: /dev/null made private would be nobody else's."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    pipe.chmod(0o666)
    with pytest.raises(Refused, match="not a file; name one"):
        Export(pipe, None)
    assert pipe.stat().st_mode & 0o777 == 0o666


def test_nothing_but_a_file_is_read_for_tokens(tmp_path: Path) -> None:
    """A pipe without a writer would be waited for, and a device never end."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(UnusableError, match="not a file; scripts/seed --export"):
            TokenFile(path)
