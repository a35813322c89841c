"""The states in which the version of a user row is noted: Python and Lua read the same in each."""

from contextlib import suppress
from typing import Any

import pytest
from tools.testbed.parts import Parts

from service.errors import UnknownLayout
from service.redis.scripts import script
from service.sessions import row_version
from service.sessions.row_version import is_changing, read

pytestmark = pytest.mark.one_server("a text matches alike on any")


@script(
    text="""
if noted:match(SETTLED) then return 'settled' end
return noted:match(CHANGING) and 'changing' or 'unknown'
""",
    constants=row_version.CONSTANTS,
    acknowledged=False,
)
def state(*, noted: bytes) -> Any:
    """Name the state as the scripts do."""


@pytest.mark.parametrize(
    ("noted", "expected", "version"),
    [
        (b"0", "settled", 0),
        (b"17", "settled", 17),
        (b"9007199254740991", "settled", 2**53 - 1),
        (b"?1 0 1700000000000", "changing", None),
        (b"?12 17 1700000000000", "changing", None),
        (b"", "unknown", ...),
        (b"-1", "unknown", ...),
        (b"1.5", "unknown", ...),
        (b" 1", "unknown", ...),
        (b"1e3", "unknown", ...),
        (b"17 1 1", "unknown", ...),
    ],
)
async def test_a_state(parts: Parts, noted: bytes, expected: str, version: Any) -> None:
    """Which it is, and the version that it tells; what is in none is told of by an error."""
    assert await state(parts.link, noted=noted) == expected.encode()
    assert is_changing(noted) is (expected == "changing")
    found = ...
    with suppress(UnknownLayout):
        found = read(noted)
    assert found == version


def test_nothing_noted() -> None:
    """The row is as it was made."""
    assert read(None) == 0


@pytest.mark.parametrize("noted", [b"?", b"?1 2", b"?1 2 3 4"])
async def test_what_only_begins_as_a_change(parts: Parts, noted: bytes) -> None:
    """No script goes on by it; who asks who the caller is asks the user store, which is right."""
    assert await state(parts.link, noted=noted) == b"unknown"
    assert read(noted) is None
