"""Log lines: JSON whoever writes them, and no more from libraries than they should say."""

import asyncio
import json
import logging
import os
import pty
import re
import subprocess
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest
import structlog
from tools.testbed.redis_server import REPOSITORY, RedisServer
from tools.testbed.service_process import PASSWORD, PATIENT, ServiceProcess, sign_up

from service import logs, streams
from service.web.exchange import RequestLine
from tests.support.log_state import configured


def lines(capture: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capture.readouterr().out.splitlines()]


def test_every_line_is_json(capsysbinary: Any) -> None:
    """Ours, the libraries', their tracebacks and Python's warnings: an object a line."""
    with configured("info"), warnings.catch_warnings():
        warnings.simplefilter("always")
        structlog.get_logger().info("ours", count=1, raw=b"\xff", other=Path("x"))
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            logging.getLogger("library").exception("theirs %s", "in two\nlines")
        logging.getLogger("library").warning("bad %d", "argument")
        warnings.warn("careful", UserWarning, stacklevel=1)
    ours, theirs, warning = lines(capsysbinary)
    assert (ours["event"], ours["level"], ours["count"]) == ("ours", "info", 1)
    assert (theirs["logger"], theirs["level"]) == ("library", "error")
    assert "ZeroDivisionError" in theirs["exception"]
    assert "careful" in warning["event"]
    assert all(line["time"].endswith("Z") for line in (ours, theirs, warning))


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_libraries_never_say_more_than_info(level: str, capsysbinary: Any) -> None:
    """At debug level some of them print what travels."""
    with configured(level):
        says_no_more(level)
    assert lines(capsysbinary) == []


def test_records_for_people(capsysbinary: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line each, tracebacks and what others say included, in colour unless NO_COLOR is set."""
    for no_colour in ("", "1"):
        monkeypatch.setenv("NO_COLOR", no_colour)
        monkeypatch.setenv("TERM", "xterm")
        with configured("info", "console"), warnings.catch_warnings():
            warnings.simplefilter("always")
            structlog.get_logger().info("ours", count=1, raw=b"\xff", evil="a\nb\x1b[2J")
            try:
                raise ZeroDivisionError("in two\nlines")
            except ZeroDivisionError:
                logging.getLogger("library").exception("theirs %s", "in two\nlines")
            structlog.get_logger().error("lone \ud800")
            warnings.warn("careful", UserWarning, stacklevel=1)
        written = capsysbinary.readouterr().out.decode()
        assert ("\x1b[" in written) is not bool(no_colour)
        ours, theirs, lone, warning = re.sub(r"\x1b\[\d+m", "", written).splitlines()
        assert re.fullmatch(
            r"\d\d:\d\d:\d\d\.\d{3}Z info    ours count=1 raw=b'\\xff' evil=a\\nb\\x1b\[2J", ours
        )
        assert " error   theirs in two\\nlines " in theirs
        assert "exception=ZeroDivisionError: in two\\nlines < tests/test_logs.py:" in theirs
        assert "lone \\ud800" in lone
        assert "careful" in warning


async def test_a_request_for_people(capsysbinary: Any) -> None:
    """Route, status, time, address, code and reason stand in front, ids behind."""
    line = RequestLine(
        level="info", time=datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC), request_id="r1",
        method="POST", route="/auth/login", status=401, ms=31.2, ip="2001:db8::7",
        code="invalid_credentials", reason="invalid credentials",
    )  # fmt: skip
    with configured("info", "console"):
        logs.write(line)
        await asyncio.sleep(0)
    text = re.sub(r"\x1b\[\d+m", "", capsysbinary.readouterr().out.decode())
    assert text == (
        "03:04:05.678Z info    POST /auth/login 401 31.2 ms  2001:db8::7  "
        "invalid_credentials: invalid credentials  request_id=r1\n"
    )


def test_a_terminal_gets_lines_for_people(tmp_path: Path) -> None:
    """By itself, where standard output is one; SERVICE_LOG_FORMAT has the last word."""
    code = "from service import logs; import structlog; logs.configure('info', {}); {}"
    say = "structlog.get_logger().info('hello')"
    for form, is_json in (("None", False), ("'json'", True), ("'console'", False)):
        parent, child = pty.openpty()
        subprocess.run(
            [sys.executable, "-c", code.format(form, say)],
            stdout=child, cwd=REPOSITORY, env={"TERM": "dumb"}, check=True, timeout=30,
        )  # fmt: skip
        os.close(child)
        said = os.read(parent, 4096).decode()
        os.close(parent)
        assert said.startswith("{") is is_json, said
        assert "hello" in said


def test_dropped_lines_are_told_in_the_same_form(capsysbinary: Any) -> None:
    """What stands in their place is one of the lines around it."""
    with configured("info", "console"):
        said = streams._notice(1, 7)
    assert b"log lines dropped: 7" in said
    assert b"warning" in said
    assert said.endswith(b"\n")
    assert not said.startswith(b"{")


def says_no_more(level: str) -> None:
    for name in ("aiosqlite", "sqlalchemy.engine.Engine", "asyncio", "uvicorn.error"):
        logger = logging.getLogger(name)
        assert not logger.isEnabledFor(logging.DEBUG)
    chatty = logging.getLogger("chatty")
    chatty.setLevel(logging.DEBUG)  # as a library may do by itself
    chatty.debug("a secret")
    assert logs.shows_requests() == (level in ("debug", "info"))


class Line(msgspec.Struct):
    number: int


async def test_lines_of_one_turn_are_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One write for all that gather in a turn of the event loop, in their order, each turn anew."""
    written: list[bytes] = []
    stream = SimpleNamespace(write=written.append, flush=lambda: None)
    monkeypatch.setattr("sys.stdout", SimpleNamespace(buffer=stream))
    for numbers in ([1, 2, 3], [4]):
        for number in numbers:
            logs.write(Line(number))
        await asyncio.sleep(0)
    assert written == [b'{"number":1}\n{"number":2}\n{"number":3}\n', b'{"number":4}\n']


def test_a_loop_that_closes_early_silences_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that an event loop left behind are written with the first of the next one."""
    written: list[bytes] = []
    stream = SimpleNamespace(write=written.append, flush=lambda: None)
    monkeypatch.setattr("sys.stdout", SimpleNamespace(buffer=stream))

    closed = asyncio.new_event_loop()

    def say_and_stop() -> None:
        closed.stop()  # what is called soon from now on is for a turn that never comes
        logs.write(Line(1))

    async def say() -> None:
        logs.write(Line(2))
        await asyncio.sleep(0)

    closed.call_soon(say_and_stop)
    closed.run_forever()
    closed.close()
    asyncio.run(say())
    assert written == [b'{"number":1}\n{"number":2}\n']


@pytest.mark.parametrize("form", ["json", "console"])
async def test_no_secret_at_debug_level(keys: RedisServer, tmp_path: Path, form: str) -> None:
    """A person's whole way through the service leaves no token, password or address in the log."""
    service = ServiceProcess(
        tmp_path, keys.url, SERVICE_LOG_LEVEL="debug", SERVICE_LOG_FORMAT=form, **PATIENT
    ).start()
    async with httpx.AsyncClient(base_url=service.url) as client:
        person = await sign_up(client)
        other = await person.log_in()
        answers = [await other.refresh(), await other.me(), await other.log_out()]
        assert [answer.status_code for answer in answers] == [200, 200, 204]
    assert service.stop() == 0
    tokens = [
        str(one.tokens[kind]) for one in (person, other) for kind in ("accessToken", "refreshToken")
    ]
    # Only log lines: the greeting beside them has an example with a password.
    begin, request = ("{", '"event":"request"') if form == "json" else ("\x1b[2m", "request_id")
    log = "\n".join(line for line in service.output().splitlines() if line.startswith(begin))
    assert log.count(request) > 5
    for secret in (PASSWORD, person.email, *tokens):
        assert secret not in log
