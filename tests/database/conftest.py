"""An SQLite file of this test's own, by its URL."""

from pathlib import Path
from urllib.parse import quote

import pytest


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "odd #?%41 name.sqlite"  # what a URI would take for its own


@pytest.fixture
def url(file: Path) -> str:
    return "sqlite:///" + quote(str(file))
