"""docs/limits.md: every limit with its number, setting and key, as they are without any setting."""

import re
from datetime import timedelta
from typing import get_args, get_type_hints

import pytest
from tools.testbed.redis_server import REPOSITORY

from service.rate_limits import Limit, Limits
from service.rates import Rate
from service.settings import Settings

PAGE = (REPOSITORY / "docs/limits.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.count(" | ") == 5 and "---" not in line
][1:]
UNITS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}


def spelt(rate: Rate) -> str:
    """As the column of numbers has it."""
    for unit, length in UNITS.items():
        if rate.window == length:
            return f"{rate.most} a{'n' if unit == 'hour' else ''} {unit}"
    return f"{rate.most} in {rate.window // timedelta(minutes=1)} minutes"


@pytest.mark.parametrize("field", [f for f in Settings.__struct_fields__ if f.startswith("limit_")])
def test_every_setting_stands_there(field: str) -> None:
    """With its default, beside the same number in words."""
    value = getattr(Settings(), field)
    setting = f"`SERVICE_{field.upper()}={value}`"
    rows = [row for row in ROWS if row[3] == setting]
    assert rows, setting
    for row in rows:
        in_words = spelt(value) if isinstance(value, Rate) else str(value)
        assert re.match(rf"{in_words}\b", row[2]), row


def test_every_limit_stands_there() -> None:
    """By its key; and `SERVICE_RATE_LIMIT` switches off those that can be."""
    for name in Limits.__struct_fields__:
        limit: Limit = getattr(Limits(), name)
        rows = [row for row in ROWS if row[4] == f"`{limit.name}:<digest>`"]
        assert rows, limit.name
        may_be_off = type(None) in get_args(get_type_hints(Limits)[name])
        assert {row[5] for row in rows} == {"off" if may_be_off else "stays"}


def test_those_of_scripts_stand_there() -> None:
    """By the names that Lua gives to lists of calls."""
    texts = [path.read_text(encoding="utf-8") for path in (REPOSITORY / "service").rglob("*.lua")]
    names = {name for text in texts for name in re.findall(r"count_call\('([a-z-]+):'", text)}
    assert names == {row[4].strip("`").partition(":")[0] for row in ROWS if " id>" in row[4]}
    assert len(names) == 2
