"""An SQLite file of this test's own, by its URL."""

from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.sqlite_threads import sqlite_threads_end  # noqa: F401  autouse


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "odd #?%41 name.sqlite"  # what a URI would take for its own


@pytest.fixture
def url(file: Path) -> str:
    return "sqlite:///" + quote(str(file))
