"""`openshow-auth events list` and `follow`, as the Redis user of redis.conf who may only read."""

import json
import os
import re
import signal
from pathlib import Path

import pytest
from tools.testbed.access import EVENTS
from tools.testbed.forked import ForkedProgram
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PATIENT
from tools.testbed.waiting import wait_until

from service.database.migration import migrate
from tests.events.conftest import write
from tests.operators.commands import command
from tests.support.looking import ON_VALKEY

pytestmark = ON_VALKEY

ANN, BOB = b"\x05" + bytes(15), b"\x45" + bytes(15)


@pytest.fixture(autouse=True)
def environment(
    keys: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Settings of whoever may read events only: another Redis user, and no keys."""
    given = {
        "SERVICE_REDIS_URL": keys.url_of(EVENTS).reveal(),
        "SERVICE_DATA_DIR": str(tmp_path / "data"),
        "SERVICE_DATABASE_URL": f"sqlite:///{tmp_path}/users.db",
        **PATIENT,
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


async def test_list(keys: RedisServer) -> None:
    """Newest first, page by page, by user and by type, as lines and as JSON."""
    ids = [write(keys, ANN if n % 2 else BOB, f"type{n % 3}", f"{1 + n}-0") for n in range(12)]
    whole = (await command("events", "list", "--json")).document
    assert ([event["id"] for event in whole["events"]], whole["next"]) == (ids[::-1], None)
    page = (await command("events", "list", "--json", "--limit", "5")).document
    assert [event["id"] for event in page["events"]] == ids[:6:-1]
    rest = await command("events", "list", "--json", "--after", page["next"])
    assert [event["id"] for event in rest.document["events"]] == ids[6::-1]
    mine = await command("events", "list", "--json", "--user", ANN.hex(), "--type", "type1")
    assert [event["id"] for event in mine.document["events"]] == [ids[7], ids[1]]
    lines = await command("events", "list", "--limit", "1")
    assert lines.out == f"1970-01-01T00:00:00.012Z  {ids[11]}  type2  {ANN.hex()}\n"
    assert lines.err == f"more: --after {ids[11]}\n"


async def test_what_clients_have_sent_steers_no_terminal(keys: RedisServer) -> None:
    """Control characters are `?` in lines, and escaped in JSON."""
    write(keys, ANN, "\x1b[2J\x9b31m evil")
    for more in ((), ("--json",)):
        listed = await command("events", "list", *more)
        assert " evil" in listed.out
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", listed.out)


async def test_what_fails(tmp_path: Path) -> None:
    """One line says why, and the exit code is 1."""
    migrate(f"sqlite:///{tmp_path}/users.db")
    refused = await command("events", "list", "--user", "nobody@example.com")
    assert (refused.code, refused.out, refused.err.count("\n")) == (1, "", 1)
    assert "no such account" in refused.err


async def test_what_no_event_and_no_limit_can_be_is_wrong_usage() -> None:
    """2, of each verb that takes them, before a store is asked."""
    for arguments, says in (
        (("list", "--after", "x"), "--after: that is no id of an event"),
        (("list", "--after", "0"), "--after: that is no id of an event"),
        (("follow", "--after", "x"), "--after: that is no id of an event"),
        (("replay", "file", "--after", "x"), "--after: that is no id of an event"),
        (("list", "--limit", "0"), "--limit: it must be 1 to 1,000"),
        (("list", "--limit", "1001"), "--limit: it must be 1 to 1,000"),
        (("list", "--limit", "x"), "--limit: invalid"),
    ):
        refused = await command("events", *arguments)
        assert (refused.code, refused.out) == (2, ""), arguments
        assert says in refused.err


async def test_redis_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One line says so."""
    monkeypatch.setenv("SERVICE_REDIS_URL", f"unix://{tmp_path}/nowhere.sock")
    for verb in ("list", "follow"):
        away = await command("events", verb)
        assert (away.code, away.out) == (1, "")
        assert "Redis cannot be reached" in away.err


def test_follow(keys: RedisServer, tmp_path: Path, environment: dict[str, str]) -> None:
    """From an event on and as they are written, a line of JSON each, until it is interrupted."""
    ids = [write(keys, ANN, "old") for _ in range(3)]
    log = tmp_path / "printed"
    arguments = ("events", "follow", "--json", "--after", ids[0])
    program = ForkedProgram("service", arguments, tmp_path, {**os.environ, **environment}, log)
    try:
        wait_until(lambda: log.exists() and log.read_text().count("\n") == 2)
        ids += [write(keys, who, "new") for who in (ANN, BOB)]
        wait_until(lambda: log.read_text().count("\n") == 4)
    finally:
        program.send_signal(signal.SIGINT)
    assert program.wait(20) == 0
    assert [json.loads(line)["id"] for line in log.read_text().splitlines()] == ids[1:]
