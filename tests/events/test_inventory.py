"""docs/events.md is the inventory of audit events: what the code writes, and no more."""

import re
from collections.abc import Iterator
from typing import get_args

from tools.testbed.redis_server import REPOSITORY

from service.api_keys.keys import Scope

_TYPE = re.compile(r"[a-z]+(?:FA|Key|Party)?\.[a-z]+[A-Z]?[A-Za-z]*")
_LINE_OF_LOG = re.compile(r"\b(?:log\.[a-z]+|repeat)\(\s*\"[^\"\n]+\"")
_MODULES = {"redis.asyncio", "redis.observability"}
_NO_EVENTS = {*get_args(Scope), *_MODULES, "redis.conf", "redis.log", "redis.sock"}
"""What is spelt like a type: scopes of API keys, names of files and of modules."""


def _listed() -> set[str]:
    """The types in the first cells of the page's tables."""
    page = (REPOSITORY / "docs/events.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| ((?:`[A-Za-z0-9]+\.[A-Za-z]+`(?:, )?)+) \|", page, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def _written(prefixes: set[str]) -> Iterator[str]:
    """All texts of the code that are types of events, by what comes before their dot."""
    for kind in ("*.lua", "*.py"):
        for path in (REPOSITORY / "service").rglob(kind):
            code = _LINE_OF_LOG.sub("", path.read_text(encoding="utf-8"))
            for text in re.findall(r"[\"']([^\"'\n]+)[\"']", code):
                if _TYPE.fullmatch(text) and text.partition(".")[0] in prefixes:
                    yield text


def test_the_page_lists_what_the_code_writes() -> None:
    """Each type of event that the code names has a row, and each row is named in the code."""
    listed = _listed()
    assert len(listed) > 25
    prefixes = {name.partition(".")[0] for name in listed}
    assert {"user", "session", "sessions", "twoFA", "apiKey", "relyingParty"} <= prefixes
    assert set(_written(prefixes)) - _NO_EVENTS == listed


def test_what_scripts_emit_is_a_type() -> None:
    """Literals in the calls by which scripts write events have the form that is looked for."""
    emitted = {
        name
        for path in (REPOSITORY / "service").rglob("*.lua")
        for name in re.findall(r"emit\('([^']+)'", path.read_text(encoding="utf-8"))
    }
    assert emitted
    assert emitted <= _listed()


def test_the_page_lists_the_doors() -> None:
    """Each call that tells of its refusals is named there, by the name that its events have."""
    code = "".join(
        path.read_text(encoding="utf-8") for path in (REPOSITORY / "service/web").rglob("*.py")
    )
    doors = set(re.findall(r'^@refusals_audited\("([^"]+)"\)', code, re.MULTILINE))
    page = (REPOSITORY / "docs/events.md").read_text(encoding="utf-8")
    listed = page.partition("`door` is the call that refused: ")[2].partition("How somebody")[0]
    assert set(re.findall(r"`([^`]+)`", listed)) == doors
    assert len(doors) >= 13
