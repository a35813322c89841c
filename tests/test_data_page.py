"""docs/data.md names all that is stored of a person: columns of the database and keys in Redis."""

import re

from tools.testbed.redis_server import REPOSITORY

from service.database.tables import metadata, users
from service.redis import keys
from service.redis.keys import KINDS

PAGE = (REPOSITORY / "docs/data.md").read_text(encoding="utf-8")
OF_NO_PERSON = {"barrier", "guard", "revocations"}
"""Kinds of keys that name nobody: one of them is written to be acknowledged, one is a number."""


def test_every_column() -> None:
    """Of a person's row each column stands on the page, and of the others at least the table."""
    named = set(re.findall(r"`(\w+)`", PAGE))
    assert {column.name for column in users.columns} <= named
    assert set(metadata.tables) <= named


def test_every_kind_of_key() -> None:
    """What begins the name of a key begins one on the page."""
    named = set(re.findall(r"`(\w+):\{b\}", PAGE))
    assert set(KINDS) - OF_NO_PERSON == named


def test_lives_are_those_of_the_table() -> None:
    """The table of keys in the code has each key of the page, spelt alike."""
    spelt = set(re.findall(r"`(\w+:\{b\}[^`]*)`", keys.__doc__ or ""))
    assert set(re.findall(r"`(\w+:\{b\}[^`]*)`", PAGE)) <= spelt
